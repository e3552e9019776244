import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { DeleteScheduleCommand, ListSchedulesCommand } from '@aws-sdk/client-scheduler';
import { RotateSecretCommand, UpdateSecretVersionStageCommand } from '@aws-sdk/client-secrets-manager';
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { openInvalidationQueue } from '../../agent/invalidation-queue.ts';
import awsRotationFailedSample from '../../events/aws-rotation-failed/sample.json' with { type: 'json' };
import { fleetReport } from '../../functions/reconcile-fleet/answers.ts';
import { keyturnCommand } from '../../local/keyturn-command.ts';
import { root } from '../../local/root.ts';
import { clientsOf } from '../../local/stack/clients.ts';
import { stackPorts } from '../../local/stack/ports.ts';
import { type Stack, startStack } from '../../local/stack/start.ts';
import { type Feed, openFeed } from '../../local/tour/feed.ts';
import { type Agent, provisionAgent } from '../../local/tour/provision.ts';
import { currentLogin, labelsOf, mirrorHolds, rotateNow, takes } from '../../local/tour/tour.ts';
import { until } from '../../local/until.ts';
import { operatorsCommands } from './keyturn-on-a-deployment.ts';
import { pythonAgent, startSidecarProcess } from './python-agents.ts';
import { actionsOf, allows, arnOf, iamOf, policyOf, roleOf } from './used-rights.ts';

let stack: Stack;
let clients: ReturnType<typeof clientsOf>;
let feed: Feed;
const nothing = () => undefined;

beforeAll(async () => {
  stack = await startStack({
    ports: await stackPorts(undefined),
    logs: join(mkdtempSync(join(tmpdir(), 'keyturn-end-to-end-')), 'logs'),
    say: nothing,
  });
  clients = clientsOf(stack);
  feed = await openFeed(stack, clients, { event: nothing, alert: nothing });
});
afterAll(async () => {
  await feed?.[Symbol.asyncDispose]();
  await stack?.[Symbol.asyncDispose]();
});

const told = z.object({ errorMessage: z.string() });

/** Calls a deployed function as anybody with lambda:InvokeFunction could. Gives what its error says. */
async function invoke(name: string, payload: unknown): Promise<string | undefined> {
  const { FunctionError, Payload } = await clients.lambda.send(
    new InvokeCommand({
      FunctionName: `keyturn-local-${name}`,
      Payload: Buffer.from(JSON.stringify(payload)),
    }),
  );
  return FunctionError
    ? told.parse(JSON.parse(Buffer.from(Payload ?? []).toString())).errorMessage
    : undefined;
}

const happened = (type: string, versionId: string) =>
  until(`${type} of ${versionId}`, async () =>
    feed.events.some((event) => event.type === type && Object.values(event.detail).includes(versionId)),
  );

describe('an agent whose secret is rotated', () => {
  let agent: Agent;
  beforeAll(async () => {
    agent = await provisionAgent('orders', stack, clients, { graceSeconds: 3_600 });
    await stack.secretsManager.engine.idle();
  });

  it('has a new login and keeps the old one, is told once the label moved, and its mirror follows', async () => {
    const { sqs, sns } = clients;
    const { id: agentId, topicArn } = agent;
    await using queue = await openInvalidationQueue({ sqs, sns, topicArn, agentId, instanceId: 'test' });
    const before = await currentLogin({ clients }, agent);
    const versionId = await rotateNow({ clients }, agent);
    await happened('Rotation Started', versionId);
    await happened('Secret Rotated', versionId);
    const after = await currentLogin({ clients }, agent);
    expect(after.versionId).toBe(versionId);
    expect(after.username).toBe('orders_b');
    expect(await takes({ stack }, after)).toBe(true);
    expect(await takes({ stack }, before)).toBe(true);

    const notices: string[] = [];
    await until('the agent is told', async () => {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl: queue.queueUrl, WaitTimeSeconds: 1, MaxNumberOfMessages: 10 }),
      );
      notices.push(...Messages.map(({ Body = '' }) => Body));
      return notices.some((notice) => notice.includes(versionId));
    });
    expect(notices.join()).not.toContain(after.password);
    await until('the mirror follows', () => mirrorHolds({ stack }, agent, versionId));
  });

  it('keeps its old login where somebody asks for the end of its grace period too early', async () => {
    const labels = await labelsOf({ clients }, agent);
    const [current] = Object.keys(labels).filter((id) => labels[id]?.includes('AWSCURRENT'));
    const [previous] = Object.keys(labels).filter((id) => labels[id]?.includes('AWSPREVIOUS'));
    const forged = {
      secretArn: agent.secretArn,
      supersededVersionId: previous,
      currentVersionId: current,
      rotationId: current,
      graceEndsAt: '2020-01-01T00:00:00Z',
    };
    expect(await invoke('revoke-superseded', forged)).toContain(
      'grace period of the superseded version is not over',
    );
    const swapped = { ...forged, supersededVersionId: current, currentVersionId: previous };
    expect(await invoke('revoke-superseded', swapped)).toBeUndefined();
    expect(await takes({ stack }, await currentLogin({ clients }, agent))).toBe(true);
    const canLogIn = await stack.postgres.query(
      `SELECT rolname FROM pg_roles WHERE rolname LIKE 'orders__' AND rolcanlogin`,
    );
    expect(canLogIn).toHaveLength(2);
  });

  it('is not rotated by events that Secrets Manager did not send', async () => {
    const before = await currentLogin({ clients }, agent);
    const token = '99999999-9999-4999-8999-999999999999';
    const event = { SecretId: agent.secretArn, ClientRequestToken: token };
    expect(await invoke('rotate-secret', { ...event, Step: 'createSecret' })).toContain(
      'names no version of the secret',
    );
    expect(await invoke('rotate-secret', { ...event, Step: 'setSecret' })).toContain(
      'names no version of the secret',
    );
    expect(await invoke('rotate-secret', { ...event, Step: 'dropSecret' })).toContain(
      'Step: expected createSecret or',
    );
    expect(await invoke('rotate-secret', 'nonsense')).toContain('the whole: expected object');
    expect(await currentLogin({ clients }, agent)).toEqual(before);
  });

  it('is told when a value is rolled back by hand, which revokes nothing', async () => {
    const labels = await labelsOf({ clients }, agent);
    const idOf = (label: string) => Object.keys(labels).find((id) => labels[id]?.includes(label)) ?? '';
    const [current, previous] = [idOf('AWSCURRENT'), idOf('AWSPREVIOUS')];
    await clients.secretsManager.send(
      new UpdateSecretVersionStageCommand({
        SecretId: agent.secretArn,
        VersionStage: 'AWSCURRENT',
        MoveToVersionId: previous,
        RemoveFromVersionId: current,
      }),
    );
    await until('"Secret Changed"', async () =>
      feed.events.some(
        ({ type, detail }) =>
          type === 'Secret Changed' && detail.currentVersionId === previous && detail.secret === agent.secret,
      ),
    );
    expect(await takes({ stack }, await currentLogin({ clients }, agent))).toBe(true);
  });
});

describe('agents in Python', () => {
  let agent: Agent;
  beforeAll(async () => {
    agent = await provisionAgent('research', stack, clients, { graceSeconds: 3_600 });
    await stack.secretsManager.engine.idle();
  });

  it('one with the sidecar gets the new login by push, long before its cache would have expired', async () => {
    const aws = { AWS_TOKEN: 'the-token', ...stack.environment };
    const flags = ['--agent-id', agent.id, '--topic-arn', agent.topicArn];
    await using sidecar = await startSidecarProcess(flags, aws);
    const login = () =>
      pythonAgent('sidecar_agent.py', {
        SIDECAR_URL: sidecar.url,
        AWS_TOKEN: 'the-token',
        SECRET: agent.secret,
      });
    const before = await currentLogin({ clients }, agent);
    expect(await login()).toEqual({
      versionId: before.versionId,
      username: 'research_a',
      dbname: 'postgres',
    });
    const versionId = await rotateNow({ clients }, agent);
    await happened('Secret Rotated', versionId);
    const after = await until('the sidecar serves the new login', async () => {
      const now = z.object({ versionId: z.string(), username: z.string() }).parse(await login());
      return now.versionId === versionId && now;
    });
    expect(after.username).toBe('research_b');
  });

  it('one with hvac reads its mirror, with the version that it is of', async () => {
    const { versionId, username } = await currentLogin({ clients }, agent);
    await until('the mirror follows', () => mirrorHolds({ stack }, agent, versionId));
    await stack.openBao.request('POST', 'sys/policies/acl/research', {
      policy: `path "secret/data/${agent.secret}" { capabilities = ["read"] }`,
    });
    const { auth } = z
      .object({ auth: z.object({ client_token: z.string() }) })
      .parse(await stack.openBao.request('POST', 'auth/token/create', { policies: ['research'] }));
    const read = await pythonAgent('vault_agent.py', {
      VAULT_ADDR: stack.openBao.url,
      VAULT_TOKEN: auth.client_token,
      SECRET: agent.secret,
    });
    expect(read).toEqual({ username, stamps: expect.arrayContaining([versionId]) });
  });
});

it('a mirror that is gone, and one that somebody changed, are whole again within the hour, and on-call hears of it', async () => {
  const agent = await provisionAgent('mirrored', stack, clients, { graceSeconds: 3_600 });
  await stack.secretsManager.engine.idle();
  const { versionId } = await currentLogin({ clients }, agent);
  await until('the mirror follows', () => mirrorHolds({ stack }, agent, versionId));
  await stack.openBao.request('POST', `secret/data/${agent.secret}`, { data: { password: 'by hand' } });
  expect(await invoke('reconcile-mirrors', { action: 'reconcile' })).toBeUndefined();
  const healed = await stack.openBao.request('GET', `secret/data/${agent.secret}`);
  expect(JSON.stringify(healed)).not.toContain('by hand');
  await stack.openBao.request('DELETE', `secret/metadata/${agent.secret}`);
  expect(await invoke('reconcile-mirrors', { action: 'reconcile' })).toBeUndefined();
  expect(await mirrorHolds({ stack }, agent, versionId)).toBe(true);
  const kinds = ['mirror-changed-by-hand', 'mirror-missing'];
  await until('both are told of', async () =>
    kinds.every(
      (kind) =>
        feed.alerts.some(({ backend, state }) => backend === `finding:${kind}` && state === 'found') &&
        feed.events.some(({ type, detail }) => type === 'Mirror Drift Detected' && detail.kind === kind),
    ),
  );
});

it('a rotation that can not start leaves the agent untouched and says why', async () => {
  const agent = await provisionAgent('broken', stack, clients, { graceSeconds: 3_600 });
  await stack.secretsManager.engine.idle();
  await stack.postgres.query('DROP ROLE broken_b; CREATE ROLE broken_b LOGIN');
  const before = await currentLogin({ clients }, agent);
  await clients.secretsManager.send(new RotateSecretCommand({ SecretId: agent.secretArn }));
  await until('"Rotation Failed"', async () =>
    feed.events.some(
      ({ type, detail }) => type === 'Rotation Failed' && detail.errorClass === 'AlternateTakenError',
    ),
  );
  await stack.secretsManager.engine.idle();
  await until('on-call is told', async () =>
    feed.alerts.some(({ backend, state }) => backend === `rotation:${agent.secret}` && state === 'failed'),
  );
  const reported = {
    ...awsRotationFailedSample,
    detail: {
      ...awsRotationFailedSample.detail,
      eventTime: new Date().toISOString(),
      additionalEventData: { SecretId: agent.secretArn },
    },
  };
  expect(await invoke('alert-rotation-failure', reported)).toBeUndefined();
  expect(feed.alerts.filter(({ backend }) => backend === `rotation:${agent.secret}`)).toHaveLength(1);
  expect(await currentLogin({ clients }, agent)).toEqual(before);
});

it('a superseded login is refused once its grace period is over, and an adoption is kept', async () => {
  const agent = await provisionAgent('finite', stack, clients, { graceSeconds: 1 });
  await stack.secretsManager.engine.idle();
  const versionId = await rotateNow({ clients }, agent);
  await happened('Secret Rotated', versionId);
  await until('its first login is refused', async () => {
    const rows = await stack.postgres.query(`SELECT rolcanlogin FROM pg_roles WHERE rolname = 'finite_a'`);
    return rows[0]?.rolcanlogin === false;
  });
  await happened('Credential Revoked', versionId);
  await clients.eventBridge.send(
    new PutEventsCommand({
      Entries: [
        {
          EventBusName: agent.eventBusName,
          Source: `keyturn.agent.${agent.id}`,
          DetailType: 'Secret Adopted',
          Detail: JSON.stringify({
            schemaVersion: 1,
            secret: agent.secret,
            secretArn: agent.secretArn,
            agentId: agent.id,
            agentInstanceId: 'finite-1',
            versionId,
            adoptedAt: new Date().toISOString(),
          }),
        },
      ],
    }),
  );
  await until('the adoption is kept', async () =>
    stack.secretsManager.recordedCalls().some(({ caller }) => caller === 'record-adoption'),
  );
  expect(await invoke('check-backend-health', {})).toBeUndefined();
});

describe('a fleet that drifts', () => {
  let agent: Agent;
  beforeAll(async () => {
    agent = await provisionAgent('drifting', stack, clients, { graceSeconds: 3_600 });
    await stack.secretsManager.engine.idle();
  });

  const keyturn = async (...words: string[]) => {
    const { stdout } = await keyturnCommand([...words, '--stage', 'local', '--json'], stack.environment);
    return stdout;
  };
  const findingOf = async (kind: string) => {
    const { findings } = fleetReport.parse(JSON.parse(await keyturn('reconcile', '--secret', agent.secret)));
    return findings.filter((finding) => finding.kind === kind).map(({ outcome }) => outcome);
  };
  const schedules = async () => {
    const { Schedules = [] } = await clients.scheduler.send(
      new ListSchedulesCommand({ GroupName: 'keyturn-local-grace' }),
    );
    const [current = ''] = Object.entries(await labelsOf({ clients }, agent)).flatMap(([id, labels]) =>
      labels.includes('AWSCURRENT') ? id : [],
    );
    return Schedules.flatMap(({ Name }) => (Name?.endsWith(current) ? Name : []));
  };

  it('has its stuck rotation ended by keyturn reconcile, with one alert', async () => {
    await stack.postgres.query('DROP ROLE drifting_b; CREATE ROLE drifting_b LOGIN');
    const token = await rotateNow({ clients }, agent);
    await stack.secretsManager.engine.idle();
    await stack.postgres.query('DROP ROLE drifting_b');
    expect(await findingOf('rotation-stuck')).toEqual([]);
    stack.secretsManager.clock.advance(20 * 60_000);
    expect(await findingOf('rotation-stuck')).toEqual(['repaired']);
    expect((await currentLogin({ clients }, agent)).versionId).toBe(token);
    await until('on-call is told', async () =>
      feed.alerts.some(({ backend, state }) => backend === 'finding:rotation-stuck' && state === 'found'),
    );
  });

  it('has the end of its grace period scheduled again, and a missed revocation made up for', async () => {
    await stack.secretsManager.engine.idle();
    const before = await currentLogin({ clients }, agent);
    await rotateNow({ clients }, agent);
    await stack.secretsManager.engine.idle();
    const lose = async () => {
      const [name = ''] = await until('the end of grace is scheduled', async () => {
        const found = await schedules();
        return found.length > 0 && found;
      });
      await clients.scheduler.send(
        new DeleteScheduleCommand({ GroupName: 'keyturn-local-grace', Name: name }),
      );
    };
    await lose();
    stack.secretsManager.clock.advance(20 * 60_000);
    expect(await findingOf('grace-schedule-lost')).toEqual(['repaired']);
    await lose();
    expect(await takes({ stack }, before)).toBe(true);
    stack.secretsManager.clock.advance(60 * 60_000);
    expect(await findingOf('superseded-still-valid')).toEqual(['repaired']);
    expect(await takes({ stack }, before)).toBe(false);
    expect(await takes({ stack }, await currentLogin({ clients }, agent))).toBe(true);
  });

  it('is told by keyturn unstick that nothing is stuck', async () => {
    expect(JSON.parse(await keyturn('unstick', agent.secret))).toMatchObject({ isStuck: false });
  });
});

operatorsCommands(() => ({ stack, clients }));

describe('what the functions did in this run, against what their roles allow', () => {
  /** AWS itself uses these in a function's name, or asks for them beside the call. */
  const byAws = /^(logs|kms|sqs|iam):/;
  /** What this run gives no cause to call, and why. */
  const notCalledHere: Readonly<Record<string, readonly string[]>> = {
    // A login with no twin, left at a password of an abandoned rotation: test/integration/rotation.
    'rotate-secret': ['secretsmanager:ListSecretVersionIds'],
    // No backend changes its state here: test/unit/health and the tour have that.
    'check-backend-health': ['sns:Publish'],
    // Asked only where the current version is older than what was mirrored: test/integration/vault-mirror.test.ts.
    'sync-vault-mirror': ['secretsmanager:ListSecretVersionIds'],
    'reconcile-mirrors': ['secretsmanager:ListSecretVersionIds'],
    // Nothing is overdue, stuck or forgotten here. The static check has every call in the code: test/unit/deployment.
    'reconcile-fleet': [
      'events:PutEvents',
      'lambda:InvokeFunction',
      'scheduler:CreateSchedule',
      'secretsmanager:RotateSecret',
      'secretsmanager:UpdateSecretVersionStage',
      'sns:Publish',
    ],
  };
  const functions = readdirSync(join(root, 'functions'));

  it.each(functions)('%s: nothing is missing, and nothing is unused', async (name) => {
    const iam = iamOf(stack);
    const policy = await policyOf(iam, await roleOf(stack, name));
    const calls = stack.secretsManager.recordedCalls().filter(({ caller }) => caller === name);
    expect(calls).not.toEqual([]);
    const refused = [];
    for (const { action, resource } of calls)
      if (!(await allows(iam, policy, action, arnOf(action, resource)))) refused.push({ action, resource });
    expect(refused).toEqual([]);

    const used = new Set([...calls.map(({ action }) => action), ...(notCalledHere[name] ?? [])]);
    const unused = actionsOf(policy).filter((action) => !used.has(action) && !byAws.test(action));
    expect(unused).toEqual([]);
  });

  it('the simulator does refuse what a role does not name', async () => {
    const iam = iamOf(stack);
    const policy = await policyOf(iam, await roleOf(stack, 'invalidate-caches'));
    const mirrored = stack.secretsManager
      .recordedCalls()
      .filter(({ caller }) => caller === 'sync-vault-mirror');
    const values = mirrored.filter(({ action }) => action === 'secretsmanager:GetSecretValue');
    expect(values).not.toEqual([]);
    for (const { action, resource } of values)
      expect(await allows(iam, policy, action, arnOf(action, resource))).toBe(false);
  });
});
