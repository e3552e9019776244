import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { createAgentSecrets, SecretDisposedError, SecretValue } from '../../../agent/index.ts';
import { Store, secret, timeOf } from './setting.ts';

const password = 'canary/3f9d+1c"x';
const secretOf = (field: unknown): SecretValue => {
  if (field instanceof SecretValue) return field;
  throw new Error('expected a secret');
};

function agentWith(fields: object) {
  const store = new Store();
  store.rotate(JSON.stringify(fields));
  return {
    store,
    agent: createAgentSecrets({
      agentId: 'billing-7',
      source: store,
      ...timeOf(store),
    }),
  };
}

test('an opened secret can be used until it is disposed of, and then not', async () => {
  const { agent } = agentWith({ username: 'a', nested: { password } });
  const opened = await agent.open(secret);
  const nested = opened.fields.nested;
  const held = secretOf(Reflect.get(Object(nested), 'password'));
  expect(held.reveal()).toBe(password);
  await opened[Symbol.asyncDispose]();
  expect(() => held.reveal()).toThrow(SecretDisposedError);
});

test('clearing one holder empties neither another nor the cache', async () => {
  const { agent, store } = agentWith({ password });
  const [one, other] = [await agent.open(secret), await agent.open(secret)];
  one[Symbol.dispose]();
  expect(secretOf(other.fields.password).reveal()).toBe(password);
  expect(secretOf((await agent.get(secret)).fields.password).reveal()).toBe(password);
  expect(store.fetches).toHaveLength(1);
});

test('withSecret clears the secret whether its work succeeds or fails', async () => {
  const { agent } = agentWith({ password });
  const kept: SecretValue[] = [];
  const length = await agent.withSecret(secret, ({ fields }) => {
    kept.push(secretOf(fields.password));
    return secretOf(fields.password).reveal().length;
  });
  expect(length).toBe(password.length);
  const failing = agent.withSecret(secret, async ({ fields }) => {
    kept.push(secretOf(fields.password));
    throw new Error('the work failed');
  });
  await expect(failing).rejects.toThrow('the work failed');
  for (const value of kept) expect(() => value.reveal()).toThrow(SecretDisposedError);
});

test('an opened secret shows nowhere', async () => {
  const { agent } = agentWith({ password });
  const opened = await agent.open(secret);
  const error = new Error('failed', { cause: opened });
  const shown = `${String(opened.fields.password)}${JSON.stringify(opened)}${inspect(opened)}${inspect(error)}`;
  expect(shown).toContain('[secret]');
  expect(shown).not.toContain('canary');
});

test('a turn works with one version, the next one with the newer', async () => {
  const { agent, store } = agentWith({ password });
  const seen = await agent.turn(async (pinned) => {
    const before = await pinned.get(secret);
    agent.invalidate(secret);
    store.rotate();
    await agent.get(secret);
    return [before.versionId, (await pinned.get(secret)).versionId];
  });
  expect(seen[0]).toBe(seen[1]);
  const next = await agent.turn((pinned) => pinned.get(secret));
  expect(next.versionId).not.toBe(seen[0]);
});

test('a read that failed in a turn is tried again', async () => {
  const { agent, store } = agentWith({ password });
  await agent.turn(async (pinned) => {
    store.failure = new Error('away');
    await expect(pinned.get(secret)).rejects.toThrow();
    store.failure = undefined;
    store.now += 60_000;
    await expect(pinned.get(secret)).resolves.toMatchObject({ stages: ['AWSCURRENT'] });
  });
});

test('invalidate reads again before the next use; stats and health tell what happened', async () => {
  const { agent, store } = agentWith({ password });
  await agent.get(secret);
  await agent.get(secret);
  agent.invalidate();
  const { versionId } = await agent.get(secret);
  expect(agent.stats()).toEqual({ hits: 1, misses: 2, fetches: 2, failedReads: 0, servedStale: 0 });
  expect(agent.health()).toEqual({
    connected: false,
    secrets: [{ secretId: secret, state: 'fresh', versionId, ageMs: 0 }],
  });
  store.now += 400_000;
  store.failure = new TypeError('away');
  await agent.get(secret);
  expect(agent.health().secrets[0]).toMatchObject({ state: 'stale', ageMs: 400_000, failure: 'TypeError' });
  store.now += 3_600_000;
  await expect(agent.get(secret)).rejects.toThrow();
  expect(agent.health().secrets[0]).toEqual({ secretId: secret, state: 'unavailable', failure: 'TypeError' });
  expect(agent.stats()).toMatchObject({ servedStale: 1, failedReads: 2 });
});
