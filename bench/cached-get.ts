import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SecretsProvider } from '@aws-lambda-powertools/parameters/secrets';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import middy from '@middy/core';
import middySecrets from '@middy/secrets-manager';
import { createAgentSecrets } from '../agent/index.ts';
import { freePort } from '../local/ports.ts';
import { startSecretsManager } from '../local/secrets-manager/http.ts';
import { percentile } from '../local/tour/report.ts';
import type { Figure } from './figure.ts';

const secret = 'agents/bench/credentials';
const value = JSON.stringify({
  engine: 'postgres',
  host: 'db',
  username: 'bench_a',
  password: 'x'.repeat(32),
});
const ROUNDS = 15;
const GETS = 20_000;

/** What an agent asks for: its secret, from memory, beside what others offer for the same; each in turn, fifteen times. */
export async function cachedGet(): Promise<readonly Figure[]> {
  await using aws = await startAws();
  await using agent = agentOn(aws.sdk);
  const powertools = new SecretsProvider({ awsSdkV3Client: aws.client });
  const subjects = {
    keyturn: () => agent.get(secret),
    powertools: () => powertools.get(secret, { maxAge: 3_600, transform: 'json' }),
    middy: middyGet(aws.sdk),
    map: mapGet(await aws.client.send(new GetSecretValueCommand({ SecretId: secret }))),
  };
  const ns = await nanoseconds(subjects);
  return [
    figure('Cached get', Math.round(ns.keyturn), 'ns', '<= 200', ns.keyturn <= 200),
    figure(
      "Cached get beside Powertools'",
      round(ns.keyturn / ns.powertools),
      'times',
      '<= 0.5',
      ns.keyturn <= ns.powertools / 2,
    ),
    figure('Cached get beside @middy/secrets-manager', round(ns.keyturn / ns.middy), 'times', 'shown', true),
    figure('Cached get beside a Map with a TTL', round(ns.keyturn / ns.map), 'times', 'shown', true),
    await refreshBesideSdk(aws),
    await callsOfMisses(aws),
    await memoryOfMany(),
  ];
}

async function startAws() {
  const secretsManager = await startSecretsManager({ port: await freePort(), region: 'eu-central-1' });
  await secretsManager.engine.CreateSecret({ Name: secret, SecretString: value });
  const sdk = {
    region: 'eu-central-1',
    endpoint: secretsManager.url,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  };
  const client = new SecretsManagerClient(sdk);
  return {
    sdk,
    client,
    async [Symbol.asyncDispose]() {
      client.destroy();
      await secretsManager[Symbol.asyncDispose]();
    },
  };
}

type Aws = Awaited<ReturnType<typeof startAws>>;
const agentOn = (aws: Aws['sdk']) => createAgentSecrets({ agentId: 'bench', aws });

function middyGet(awsClientOptions: Aws['sdk']): () => Promise<unknown> {
  const handler = middy()
    .use(
      middySecrets({
        fetchData: { login: secret },
        awsClientOptions,
        cacheExpiry: 3_600_000,
        setToContext: true,
      }),
    )
    .handler(async (_event: unknown, context: { readonly login?: unknown }) => context.login);
  return async () => handler({}, Object.create(null));
}

/** The least that anybody would write. */
function mapGet({
  SecretString = '',
}: {
  readonly SecretString?: string | undefined;
}): () => Promise<unknown> {
  const held = new Map([[secret, { value: JSON.parse(SecretString), until: Date.now() + 3_600_000 }]]);
  return async () => {
    const entry = held.get(secret);
    return entry && Date.now() < entry.until ? entry.value : undefined;
  };
}

/** The median of a get in each round; the subjects take turns, so that a noisy minute is everybody's. */
async function nanoseconds<Name extends string>(
  subjects: Readonly<Record<Name, () => Promise<unknown>>>,
): Promise<Readonly<Record<Name, number>>> {
  const times: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, get] of Object.entries<() => Promise<unknown>>(subjects)) {
      await get();
      const began = process.hrtime.bigint();
      for (let index = 0; index < GETS; index += 1) await get();
      times[name] = [...(times[name] ?? []), Number(process.hrtime.bigint() - began) / GETS];
    }
  }
  const medians = Object.entries(times).map(([name, of]) => [name, percentile(of, 0.5)]);
  return Object.fromEntries(medians);
}

/** Fewer rounds than the reads a minute beyond which an agent holds back. */
async function refreshBesideSdk({ sdk, client }: Aws): Promise<Figure> {
  await using agent = agentOn(sdk);
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let count = 0; count < 90; count += 1) {
    agent.invalidate(secret);
    ours.push(await milliseconds(() => agent.get(secret)));
    theirs.push(await milliseconds(() => client.send(new GetSecretValueCommand({ SecretId: secret }))));
  }
  if (agent.stats().fetches !== 90) throw new Error('Not every read went to Secrets Manager');
  const ratio = round(percentile(ours, 0.5) / percentile(theirs, 0.5));
  return figure('A read anew beside a bare SDK call', ratio, 'times', '<= 1.1', ratio <= 1.1);
}

async function milliseconds(call: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await call();
  return performance.now() - began;
}

async function callsOfMisses({ sdk }: Aws): Promise<Figure> {
  await using agent = agentOn(sdk);
  await Promise.all(Array.from({ length: 1_000 }, () => agent.get(secret)));
  const { fetches } = agent.stats();
  return figure('Calls for 1,000 concurrent misses', fetches, 'calls', '1', fetches === 1);
}

/** Heap and buffers of an agent that holds 10,000 secrets, less what it had before. */
async function memoryOfMany(): Promise<Figure> {
  const { fieldsOf } = await import('../agent/secret-version.ts');
  const { SecretValue } = await import('../shared/credential/secret-value.ts');
  const source = {
    fetch: async (secretId: string) => ({
      versionId: `${secretId}-version`.padEnd(36, '0'),
      createdAt: 0,
      stages: ['AWSCURRENT'],
      fields: fieldsOf(value),
      value: SecretValue.of(value),
    }),
  };
  await using agent = createAgentSecrets({ agentId: 'bench', source, maxEntries: 10_000 });
  const used = () => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  for (let index = 0; index < 10_000; index += 1) await agent.get(`agents/${index}/credentials`);
  return figure('Memory of 10,000 secrets', Math.round((used() - before) / 1e6), 'MB', 'shown', true);
}

setFlagsFromString('--expose-gc');
/** What was garbage before is no memory of theirs. */
const collectGarbage: () => void = runInNewContext('gc');

const round = (ratio: number) => Number(ratio.toFixed(2));

function figure(name: string, value: number, unit: string, goal: string, holds: boolean): Figure {
  return { name, value, unit, goal, holds };
}
