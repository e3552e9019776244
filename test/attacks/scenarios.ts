import pg from 'pg';
import * as z from 'zod';
import type { GraceEnded } from '../../events/grace-ended/event.ts';
import { rotateSecret } from '../../functions/rotate-secret/rotate-secret.ts';
import { createEngine, type Engine } from '../../local/secrets-manager/engine.ts';
import { SecretJson } from '../../shared/credential/secret-json.ts';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { clientOf, witness } from '../integration/rotation/in-process.ts';
import { loginOn, type postgresForTests } from '../integration/rotation/setting.ts';
import { accountId, type Deployment, functionArn, region } from './deployment.ts';

/** Short ones, so that an error which quotes a few characters around a place quotes them whole. */
export const canaries = {
  admin: 'aD"m1n\\7',
  static: 'st4T1cYz',
  first: 'c4NarYq7',
  digestKey: 'd1geSt-k3y-of-the-mirrors-0123456789',
};
const hourMs = 3_600_000;

export interface Setting {
  readonly deployment: Deployment;
  readonly server: Awaited<ReturnType<typeof postgresForTests>>;
  readonly appRole: { readonly role_id: string; readonly secret_id: string };
  /** Any call of Vault as root. */
  readonly vault: (method: string, path: string, body?: unknown) => Promise<unknown>;
}

/** A function before it is called, what is around it, and the events that it gets, in their order. */
export interface Scenario {
  readonly engine: Engine;
  readonly agent: Agent;
  readonly events: readonly unknown[];
}

export interface Agent {
  readonly id: string;
  readonly name: string;
  readonly arn: string;
}

/** Every password that a secret of this engine has ever held, and those of its surroundings. */
export async function secretsOf(
  { deployment, appRole }: Setting,
  engine: Engine,
): Promise<Record<string, string>> {
  const known: Record<string, string> = { ...canaries, secretId: appRole.secret_id };
  for (const [index, token] of [...deployment.account.vaultTokens].entries()) known[`token ${index}`] = token;
  const { SecretList = [] } = await engine.ListSecrets({});
  for (const { ARN: SecretId = '', Name = '' } of SecretList) {
    if (!Name.startsWith('agents/')) continue;
    const { Versions = [] } = await engine.ListSecretVersionIds({ SecretId, IncludeDeprecated: true });
    for (const { VersionId = '' } of Versions) {
      const read = await engine.GetSecretValue({ SecretId, VersionId }).catch(() => undefined);
      if (read?.SecretString === undefined) continue;
      const { password } = SecretJson.parse(SecretValue.of(read.SecretString)).reveal();
      if (typeof password === 'string') known[VersionId] = password;
    }
  }
  return known;
}

let count = 0;

/** An account three hours ago, with an agent's secret that is mirrored and rotates; time can be let pass. */
async function worldOf(setting: Setting) {
  const { deployment, server, appRole } = setting;
  let agoMs = 3 * hourMs;
  let isHeld = false;
  const engine: Engine = createEngine({
    region,
    accountId,
    attempts: 1,
    now: () => new Date(Date.now() - agoMs),
    wait: async () => undefined,
    async invoke(_, event) {
      if (isHeld) throw new Error('nobody is called');
      await rotateSecret(event, { ...witness().parts, secretsManager: clientOf(engine) });
    },
  });
  deployment.account.reset({ engine });
  const { ARN: masterarn } = await engine.CreateSecret({
    Name: 'keyturn/admin/postgres',
    SecretString: loginOn(server, 'boss', canaries.admin).serialize().reveal(),
    Tags: [{ Key: 'keyturn:probe', Value: 'postgres' }],
  });
  await engine.CreateSecret({ Name: 'keyturn/vault/approle', SecretString: JSON.stringify(appRole) });
  await engine.CreateSecret({ Name: 'keyturn/test/mirror-digest-key', SecretString: canaries.digestKey });

  const addAgent = async (tags: Readonly<Record<string, string>> = {}): Promise<Agent> => {
    count += 1;
    const id = `w${count}`;
    const name = `agents/${id}/credentials`;
    await server.query(`CREATE ROLE ${id} NOLOGIN; GRANT CREATE ON SCHEMA public TO ${id};
      CREATE ROLE ${id}_a LOGIN PASSWORD ${pg.escapeLiteral(canaries.first)} IN ROLE ${id}; ALTER ROLE ${id}_a SET role = '${id}'`);
    const all = { agent_id: id, managed_by: 'agent-platform', 'keyturn:mirror': name, ...tags };
    const { ARN: arn } = await engine.CreateSecret({
      Name: name,
      SecretString: loginOn(server, `${id}_a`, canaries.first, { masterarn, note: canaries.static })
        .serialize()
        .reveal(),
      Tags: Object.entries(all).map(([Key, Value]) => ({ Key, Value })),
    });
    await engine.RotateSecret({
      SecretId: arn,
      RotationLambdaARN: functionArn('rotate-secret'),
      RotationRules: { AutomaticallyAfterDays: 30 },
      RotateImmediately: false,
    });
    await engine.idle();
    return { id, name, arn };
  };
  return {
    engine,
    addAgent,
    async rotate({ arn }: Agent) {
      await engine.RotateSecret({ SecretId: arn });
      await engine.idle();
    },
    /** A rotation that has begun, and nobody has taken a step of. Gives its token. */
    async begin({ arn }: Agent): Promise<string> {
      isHeld = true;
      const { VersionId = '' } = await engine.RotateSecret({ SecretId: arn });
      await engine.idle();
      isHeld = false;
      return VersionId;
    },
    now() {
      agoMs = 0;
    },
    async labelled({ arn }: Agent, label: string): Promise<string> {
      const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: arn });
      return Object.entries(VersionIdsToStages).find(([, labels]) => labels.includes(label))?.[0] ?? '';
    },
  };
}
type World = Awaited<ReturnType<typeof worldOf>>;

const envelope = (detailType: string, source: string, at: Date) => ({
  version: '0',
  id: '5b2f8c1e-9d43-4f7a-b1c6-3e8a7d90f254',
  'detail-type': detailType,
  source,
  account: accountId,
  time: `${at.toISOString().slice(0, 19)}Z`,
  region,
  resources: [],
});

const ago = (ms: number) => new Date(Date.now() - ms);
const ofSecret = ({ id, name, arn }: Agent) => ({
  schemaVersion: 1,
  secret: name,
  secretArn: arn,
  agentId: id,
});

async function labelMoved(world: World, agent: Agent): Promise<object> {
  return {
    ...envelope('Secret Label Updated', 'aws.secretsmanager', ago(3 * hourMs)),
    resources: [agent.arn],
    detail: {
      name: agent.name,
      labelUpdated: 'AWSCURRENT',
      versionId: await world.labelled(agent, 'AWSCURRENT'),
    },
  };
}

export const messageOf = (event: unknown) => ({
  messageId: crypto.randomUUID(),
  receiptHandle: 'receipt',
  body: JSON.stringify(event),
  attributes: {
    ApproximateReceiveCount: '1',
    SentTimestamp: '0',
    SenderId: 'events',
    ApproximateFirstReceiveTimestamp: '0',
  },
  messageAttributes: {},
  md5OfBody: '',
  eventSource: 'aws:sqs',
  eventSourceARN: `arn:aws:sqs:${region}:${accountId}:mirror`,
  awsRegion: region,
});

async function rotated(setting: Setting) {
  const world = await worldOf(setting);
  const agent = await world.addAgent();
  await world.rotate(agent);
  world.now();
  return { world, agent, engine: world.engine };
}

const listed = z.object({ data: z.object({ keys: z.array(z.string()) }) });

/** Takes what earlier accounts left in Vault: each would be an orphan, with calls of its own for a fault to meet. */
async function withoutMirrors({ vault }: Setting): Promise<void> {
  const { data } = listed
    .catch({ data: { keys: [] } })
    .parse(await vault('LIST', 'secret/metadata/agents').catch(() => undefined));
  for (const folder of data.keys) await vault('DELETE', `secret/metadata/agents/${folder}credentials`);
}

const failedAt = () => ago(60_000).toISOString();

/** How each function of a deployment is called. A new function needs its own here. */
export const scenarios: Readonly<Record<string, (setting: Setting) => Promise<Scenario>>> = {
  async 'rotate-secret'(setting) {
    const world = await worldOf(setting);
    const agent = await world.addAgent();
    world.now();
    const token = await world.begin(agent);
    return {
      engine: world.engine,
      agent,
      events: ['createSecret', 'setSecret', 'testSecret', 'finishSecret'].map((Step) => ({
        Step,
        SecretId: agent.arn,
        ClientRequestToken: token,
      })),
    };
  },
  async 'announce-rotation'(setting) {
    const { world, agent, engine } = await rotated(setting);
    return { engine, agent, events: [await labelMoved(world, agent)] };
  },
  async 'invalidate-caches'(setting) {
    const { world, agent, engine } = await rotated(setting);
    return { engine, agent, events: [await labelMoved(world, agent)] };
  },
  async 'sync-vault-mirror'(setting) {
    const { world, agent, engine } = await rotated(setting);
    return { engine, agent, events: [{ Records: [messageOf(await labelMoved(world, agent))] }] };
  },
  async 'revoke-superseded'(setting) {
    const { world, agent, engine } = await rotated(setting);
    const currentVersionId = await world.labelled(agent, 'AWSCURRENT');
    const ended: GraceEnded = {
      secretArn: agent.arn,
      supersededVersionId: await world.labelled(agent, 'AWSPREVIOUS'),
      currentVersionId,
      rotationId: currentVersionId,
      graceEndsAt: ago(2 * hourMs).toISOString(),
    };
    return { engine, agent, events: [ended] };
  },
  async 'alert-rotation-failure'(setting) {
    const { world, agent, engine } = await rotated(setting);
    const rotationId = await world.labelled(agent, 'AWSCURRENT');
    const failure = {
      ...ofSecret(agent),
      rotationId: crypto.randomUUID(),
      step: 'testSecret',
      errorClass: 'CredentialRefusedError',
    };
    return {
      engine,
      agent,
      events: [
        {
          ...envelope('Rotation Failed', 'keyturn', ago(60_000)),
          detail: { ...failure, failedAt: failedAt() },
        },
        {
          ...envelope('AWS Service Event via CloudTrail', 'aws.secretsmanager', ago(30_000)),
          detail: {
            eventID: crypto.randomUUID(),
            eventTime: ago(30_000).toISOString(),
            eventName: 'RotationFailed',
            errorMessage: `Error when executing lambda ${functionArn('rotate-secret')} during testSecret step`,
            additionalEventData: { SecretId: agent.arn },
          },
        },
        {
          ...envelope('Secret Rotated', 'keyturn', new Date()),
          detail: {
            ...ofSecret(agent),
            rotationId,
            currentVersionId: rotationId,
            rotatedAt: new Date().toISOString(),
          },
        },
      ],
    };
  },
  async 'check-backend-health'(setting) {
    const { agent, engine } = await rotated(setting);
    const tick = () => ({
      ...envelope('Scheduled Event', 'aws.events', new Date()),
      id: crypto.randomUUID(),
      detail: {},
    });
    return { engine, agent, events: [tick()] };
  },
  async 'reconcile-fleet'(setting) {
    const world = await worldOf(setting);
    // One whose superseded login nobody revoked, and one whose rotation stands still.
    const agent = await world.addAgent();
    await world.rotate(agent);
    const stuck = await world.addAgent();
    await world.begin(stuck);
    world.now();
    return {
      engine: world.engine,
      agent,
      events: [
        { action: 'unstick', secret: stuck.name, how: 'explain' },
        { action: 'reconcile', isScheduled: true },
      ],
    };
  },
  async 'reconcile-mirrors'(setting) {
    await withoutMirrors(setting);
    const { world, agent, engine } = await rotated(setting);
    const sync = await setting.deployment.start('sync-vault-mirror');
    await sync({ Records: [messageOf(await labelMoved(world, agent))] });
    await setting.vault('POST', `secret/data/${agent.name}`, { data: { password: canaries.static } });
    return { engine, agent, events: [{ action: 'reconcile' }, { action: 'release', secret: agent.name }] };
  },
  async 'record-adoption'(setting) {
    const { world, agent, engine } = await rotated(setting);
    return {
      engine,
      agent,
      events: [
        {
          ...envelope('Secret Adopted', `keyturn.agent.${agent.id}`, new Date()),
          detail: {
            ...ofSecret(agent),
            agentInstanceId: `${agent.id}-1`,
            versionId: await world.labelled(agent, 'AWSCURRENT'),
            adoptedAt: new Date().toISOString(),
          },
        },
      ],
    };
  },
};
