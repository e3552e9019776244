import { Readable } from 'node:stream';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { dispatch } from '../local/secrets-manager/dispatch.ts';
import { createEngine, type Engine } from '../local/secrets-manager/engine.ts';
import { type MirrorsLook, reconcileMirrors } from '../shared/reconciliation/mirrors/reconcile-mirrors.ts';
import type { Key, Vault } from '../shared/vault/client.ts';
import { mirrorDigest } from '../shared/vault/digest.ts';
import { CasMismatchError } from '../shared/vault/errors.ts';
import type { Figure } from './figure.ts';
import { type VirtualTime, virtualTime } from './virtual-time.ts';

const mirrors = 10_000;
/** Milliseconds a call: Secrets Manager's as measured on AWS, and a generous one for a Vault in another network. */
const latency = { secretsManager: 44, vault: 20 };
/** What a run of the function has, less what it keeps for telling. */
const availableSeconds = 840;
const ownArns = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:';

/** An hourly run over ten thousand mirrors, of which all are in step, then one in a hundred is behind. */
export async function reconcilingMirrors(): Promise<readonly Figure[]> {
  const setting = await fleet();
  const inStep = await setting.run();
  await setting.rotate(100);
  const behind = await setting.run();
  const of = (what: string) => `Reconciling ${mirrors} mirrors, ${what}`;
  return [
    figure(of('calls of Secrets Manager'), inStep.secretsManager, 'calls', 100, '<= 100'),
    figure(of('calls of Vault'), inStep.vault, 'calls', 2 * mirrors + 1, `<= ${2 * mirrors + 1}`),
    figure(of('writes'), inStep.writes, 'calls', 0, '0'),
    figure(of('virtual time'), inStep.seconds, 's', availableSeconds, `< ${availableSeconds}`),
    figure(of('100 of them behind: writes'), behind.writes, 'calls', 200, '<= 200'),
    figure(
      of('100 of them behind: virtual time'),
      behind.seconds,
      's',
      availableSeconds,
      `< ${availableSeconds}`,
    ),
    figure(
      of('then found amiss'),
      behind.findings === 100 ? (await setting.run()).findings : mirrors,
      'mirrors',
      0,
      '0',
    ),
  ];
}

const figure = (name: string, value: number, unit: string, most: number, goal: string): Figure => ({
  name,
  value,
  unit,
  goal,
  holds: value <= most,
});

interface Run {
  readonly secretsManager: number;
  readonly vault: number;
  readonly writes: number;
  readonly seconds: number;
  readonly findings: number;
}

async function fleet(): Promise<{ run(): Promise<Run>; rotate(count: number): Promise<void> }> {
  const time = virtualTime();
  const engine = createEngine({ now: () => new Date(time.now()) });
  const digest = mirrorDigest(Buffer.from('a key of the benchmark'));
  const keys = new Map<string, Key>();
  const value = { username: 'u', password: 'p' };
  for (let index = 0; index < mirrors; index += 1) {
    const path = `agents/a${index}/credentials`;
    const tags = { agent_id: `a${index}`, managed_by: 'agent-platform', 'keyturn:mirror': path };
    const { ARN, VersionId = '' } = await engine.CreateSecret({
      Name: path,
      SecretString: JSON.stringify(value),
      Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
    });
    const custom = {
      keyturn_secret: ARN,
      keyturn_version_id: VersionId,
      keyturn_version_created_at: new Date(0).toISOString(),
      keyturn_kv_version: '1',
      keyturn_digest: digest.of(ARN, VersionId, value),
    };
    keys.set(path, { currentVersion: 1, custom, data: value });
  }
  const calls: string[] = [];
  const parts = {
    secretsManager: slowClient(engine, time, calls),
    vault: vaultInMemory(keys, time, calls),
    digest: async () => digest,
  };
  return {
    async run() {
      calls.length = 0;
      const begin = time.now();
      const look: MirrorsLook = await time.run(
        reconcileMirrors(parts, {
          heals: true,
          ownArns,
          now: () => new Date(time.now()),
          isLate: () => false,
          pause: async () => undefined,
          onFailure: ({ reason }) => {
            throw new Error(reason);
          },
        }),
      );
      const vault = calls.filter((call) => call.startsWith('vault:'));
      return {
        secretsManager: calls.length - vault.length,
        vault: vault.length,
        writes: vault.filter((call) => /write|remove/.test(call)).length,
        seconds: Math.round((time.now() - begin) / 1_000),
        findings: look.findings.length,
      };
    },
    async rotate(count) {
      for (let index = 0; index < count; index += 1) {
        await engine.PutSecretValue({
          SecretId: `agents/a${index * 97}/credentials`,
          SecretString: '{"password":"next"}',
        });
      }
    },
  };
}

function slowClient(engine: Engine, time: VirtualTime, calls: string[]): SecretsManagerClient {
  return new SecretsManagerClient({
    region: 'us-east-1',
    credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
    requestHandler: {
      async handle(request: { headers: Record<string, string>; body?: unknown }) {
        const operation = request.headers['x-amz-target']?.split('.')[1] ?? '';
        calls.push(operation);
        await time.sleep(latency.secretsManager);
        const answer = await dispatch(engine, operation, JSON.parse(textOf(request.body)));
        return {
          response: {
            statusCode: 200,
            headers: { 'content-type': 'application/x-amz-json-1.1' },
            body: Readable.from([Buffer.from(JSON.stringify(answer))]),
          },
        };
      },
    },
  });
}

function textOf(body: unknown): string {
  return ArrayBuffer.isView(body)
    ? Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()
    : String(body);
}

/** KV v2, as far as mirrors use it. */
function vaultInMemory(keys: Map<string, Key>, time: VirtualTime, calls: string[]): Vault {
  const call = async (name: string) => {
    calls.push(`vault:${name}`);
    await time.sleep(latency.vault);
  };
  const folders = new Map<string, Set<string>>();
  for (const path of keys.keys()) {
    const segments = path.split('/');
    for (const [depth, name] of segments.entries()) {
      const folder = segments
        .slice(0, depth)
        .map((each) => `${each}/`)
        .join('');
      const isKey = depth === segments.length - 1;
      folders.set(folder, (folders.get(folder) ?? new Set()).add(isKey ? name : `${name}/`));
    }
  }
  return {
    async readKey(path) {
      await call('readKey');
      return keys.get(path);
    },
    async readMetadata(path) {
      await call('readMetadata');
      return keys.get(path);
    },
    async readData(path) {
      await call('readData');
      const key = keys.get(path);
      return key?.data && { data: { ...key.data }, version: key.currentVersion };
    },
    async writeData(path, data, cas) {
      await call('writeData');
      const key = keys.get(path);
      if ((key?.currentVersion ?? 0) !== cas) throw new CasMismatchError('The key changed meanwhile');
      keys.set(path, { custom: key?.custom ?? {}, currentVersion: cas + 1, data });
      return cas + 1;
    },
    async writeCustomMetadata(path, custom) {
      await call('writeCustomMetadata');
      keys.set(path, { ...(keys.get(path) ?? { currentVersion: 0 }), custom });
    },
    async list(folder) {
      await call('list');
      return [...(folders.get(folder) ?? [])];
    },
    async remove(path) {
      await call('remove');
      keys.delete(path);
    },
    async lookupToken() {
      await call('lookupToken');
      return { renewable: true, ttlSeconds: 3_600 };
    },
  };
}
