import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type AgentSecrets,
  createAgentSecrets,
  SecretDeniedError,
  SecretNotFoundError,
  SecretUnavailableError,
  SecretValue,
} from '../../../agent/index.ts';
import { freePort } from '../../../local/ports.ts';
import { type SecretsManager, startSecretsManager } from '../../../local/secrets-manager/http.ts';
import { type Fault, type Microburst, startMicroburst } from '../microburst.ts';

const ttlMs = 300_000;
const staleMs = 3_600_000;
/** Beyond an agent's longest pause between two reads that fail. */
const pauseMs = 30_001;
const attempts = 2;

const parts = new AsyncDisposableStack();
let aws: SecretsManager;
let microburst: Microburst;
let now = 0;
let number = 0;
let secret: string;

beforeAll(async () => {
  const [port, upstreamPort] = [await freePort(), await freePort()];
  aws = parts.use(await startSecretsManager({ port: upstreamPort, region: 'eu-central-1' }));
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'microburst.log');
  microburst = parts.use(await startMicroburst({ port, upstream: aws.url, logFile }));
});
afterAll(() => parts.disposeAsync());

beforeEach(async () => {
  now = 0;
  number += 1;
  secret = `agents/agent-${number}/credentials`;
  await microburst.inject([]);
  await aws.engine.CreateSecret({ Name: secret, SecretString: textOf(1) });
});

/** A while later, by AWS's clock: as a rule, versions aren't made within the same second. */
async function put(version: number): Promise<void> {
  aws.clock.advance(60_000);
  await aws.engine.PutSecretValue({ SecretId: secret, SecretString: textOf(version) });
}

const textOf = (version: number) => JSON.stringify({ username: 'a', password: `canary-${version}` });

/** As an agent in production is, but for less patience with the network, and a clock of the test's. */
function agentBehind(): AgentSecrets {
  return createAgentSecrets({
    agentId: `agent-${number}`,
    ttlMs,
    staleMs,
    now: () => now,
    aws: {
      region: 'eu-central-1',
      endpoint: microburst.url,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      maxAttempts: attempts,
      requestHandler: { connectionTimeout: 1_000, requestTimeout: 400, throwOnRequestTimeout: true },
    },
  });
}

async function passwordOf(agent: AgentSecrets): Promise<string> {
  const { password } = (await agent.get(secret)).fields;
  return password instanceof SecretValue ? password.reveal() : 'none';
}

const failureOf = (read: Promise<unknown>): Promise<unknown> =>
  read.then(
    () => 'it was served',
    (error: unknown) => error,
  );

/** Whatever a logger makes of it, hidden fields and causes included. */
function expectNoSecretIn(error: unknown): void {
  const stack = error instanceof Error ? error.stack : '';
  expect(inspect(error, { depth: 12, showHidden: true }) + JSON.stringify(error) + stack).not.toMatch(
    /canary/,
  );
}

const onSecrets = (effect: Fault): Fault => ({
  service: 'secretsmanager',
  operation: 'GetSecretValue',
  ...effect,
});

/** An error in AWS's wire format, with a text that nobody who logs ours is to see. */
const refusal = (code: string, status = 400): Fault => ({
  error: { code, status, message: 'canary: not to be repeated' },
});

const outages: readonly (readonly [string, Fault])[] = [
  ['throttles', refusal('ThrottlingException')],
  ['fails with an InternalServiceError', refusal('InternalServiceError', 500)],
  ['is unavailable (503)', refusal('ServiceUnavailable', 503)],
  ['says that the session has expired', refusal('ExpiredTokenException')],
  ['resets the connection', { reset: true }],
  ['hangs', { timeout_ms: 3_000 }],
  ['cuts the answer off in mid-stream', { response: { abort_frac: 0.9 } }],
  ['gives a part of the answer as if it were whole', { response: { truncate_frac: 0.9 } }],
  ['gives an answer of no length', { response: { truncate_bytes: 0 } }],
  ['gives a corrupted answer', { response: { corrupt_bytes: 10_000 } }],
];

describe.each(outages)('while Secrets Manager %s', (_, effect) => {
  test('the last known good is served up to the hard bound, by one read for all; then an error without a secret in it; then the new version', async () => {
    await using agent = agentBehind();
    expect(await passwordOf(agent)).toBe('canary-1');
    await put(2);
    await microburst.inject([onSecrets(effect)]);

    now = ttlMs;
    const all = await Promise.all(Array.from({ length: 25 }, () => passwordOf(agent)));
    expect(new Set(all)).toEqual(new Set(['canary-1']));
    expect(agent.stats()).toMatchObject({ fetches: 2, servedStale: 25 });
    const fired = await microburst.fired();
    expect(fired > 0 && fired <= attempts, `${fired} requests for one read`).toBe(true);
    expect(agent.health().secrets).toMatchObject([{ state: 'stale', failure: 'SourceUnreachableError' }]);

    now = staleMs;
    expect(await passwordOf(agent)).toBe('canary-1');
    now = staleMs + 1;
    const failure = await failureOf(agent.get(secret));
    expect(failure).toBeInstanceOf(SecretUnavailableError);
    expectNoSecretIn(failure);
    now += pauseMs;
    const next = await failureOf(agent.get(secret));
    expect(next).toBeInstanceOf(SecretUnavailableError);
    expectNoSecretIn(next);
    expect(agent.health().secrets).toMatchObject([{ state: 'unavailable' }]);

    await microburst.inject([]);
    now += pauseMs;
    expect(await passwordOf(agent)).toBe('canary-2');
  });
});

describe.each([
  ['denies access', 'AccessDeniedException', SecretDeniedError],
  ["can't use the key", 'DecryptionFailure', SecretDeniedError],
  ['knows no such secret', 'ResourceNotFoundException', SecretNotFoundError],
])('when Secrets Manager %s', (_, code, type) => {
  test('that is an error at once, though a value is held, and what was held is never served again', async () => {
    await using agent = agentBehind();
    await agent.get(secret);
    await microburst.inject([onSecrets(refusal(code))]);
    now = ttlMs;
    const failure = await failureOf(agent.get(secret));
    expect(failure).toBeInstanceOf(type);
    expectNoSecretIn(failure);
    expect(await microburst.fired(), 'it was asked once').toBe(1);

    await microburst.inject([onSecrets({ reset: true })]);
    now += pauseMs;
    expect(await failureOf(agent.get(secret))).toBeInstanceOf(SecretUnavailableError);

    await microburst.inject([]);
    now += pauseMs;
    expect(await passwordOf(agent)).toBe('canary-1');
  });
});

test('a fault that passes within the attempts of one read is never seen by the agent', async () => {
  await using agent = agentBehind();
  await microburst.inject([onSecrets({ times: 1, error: { code: 'ThrottlingException', status: 400 } })]);
  expect(await passwordOf(agent)).toBe('canary-1');
  expect(await microburst.fired()).toBe(1);
  expect(agent.stats()).toMatchObject({ fetches: 1, failedReads: 0 });
});

test('with the latency of AWS, a thousand who ask at once share one read, and none waits for a renewal ahead of time', async () => {
  await using agent = agentBehind();
  await microburst.inject([onSecrets({ latency: { preset: 'secretsmanager' } })]);
  await Promise.all(Array.from({ length: 1_000 }, () => agent.get(secret)));
  expect(await microburst.fired()).toBe(1);
  expect(agent.stats()).toMatchObject({ misses: 1_000, fetches: 1 });

  await put(2);
  now = ttlMs * 0.85;
  const renewed = Promise.withResolvers<void>();
  using _ = agent.onChange(secret, () => renewed.resolve());
  expect(await passwordOf(agent), 'at once, from what is held').toBe('canary-1');
  await renewed.promise;
  expect(await passwordOf(agent)).toBe('canary-2');
  expect(agent.stats()).toMatchObject({ hits: 2, misses: 1_000, fetches: 2 });
});
