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

test('who disposes of what get gave takes it from nobody else', async () => {
  const { agent, store } = agentWith({ password, nested: [{ password }] });
  const { fields, value } = await agent.get(secret);
  {
    using _key = secretOf(fields.password);
    using _text = value;
    using _nested = secretOf(Reflect.get(Object(Reflect.get(Object(fields.nested), 0)), 'password'));
  }
  expect(agent.redactor()(`refused: ${password}`)).toBe('refused: [secret]');
  await agent.withSecret(secret, (opened) =>
    expect(secretOf(opened.fields.password).reveal()).toBe(password),
  );
  expect((await agent.get(secret)).value.reveal()).toContain('nested');
  expect(store.fetches).toHaveLength(1);
});

test("a version that was asked for by its label is the asker's own to dispose of, and the logger goes on", async () => {
  const { agent } = agentWith({ password });
  const other = await agent.version(secret, { versionId: '0' });
  const redact = agent.redactor();
  await agent.get(secret);
  secretOf(other.fields.password)[Symbol.dispose]();
  expect(redact(`refused: ${password}`)).toBe('refused: [secret]');
});

test("a source of one's own may hold what is no text, and keeps what it gave", async () => {
  const since = new Date(0);
  const fields = { password: SecretValue.of(password), since };
  const source = {
    fetch: async () => ({ versionId: '1', createdAt: 0, stages: [], fields, value: SecretValue.of('{}') }),
  };
  const agent = createAgentSecrets({ agentId: 'billing-7', source });
  const version = await agent.get(secret);
  secretOf(version.fields.password)[Symbol.dispose]();
  expect(version.fields.since).toBe(since);
  expect(fields.password.reveal()).toBe(password);
  await agent.withSecret(secret, (opened) => expect(opened.fields.since).toBe(since));
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
