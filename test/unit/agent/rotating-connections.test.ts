import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Adoption } from '../../../agent/adoption.ts';
import {
  AgentClosedError,
  type ConnectionDriver,
  createAgentSecrets,
  RotatingConnections,
  reveal,
  SecretMalformedError,
  SecretUnavailableError,
  SourceUnreachableError,
} from '../../../agent/index.ts';
import type { SecretCache } from '../../../agent/secret-cache.ts';
import { cacheOver, Store, secret, settled, versionIdOf } from './setting.ts';

/** What a driver makes: some client of some target. */
interface Client {
  readonly password: string;
  closed: boolean;
}

class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

/** A target that takes the passwords on its list, and the clients that it has seen. */
class Target implements ConnectionDriver<Client> {
  readonly accepted = new Set<string>();
  readonly clients: Client[] = [];
  tried = 0;
  /** Whoever opens a client waits for it. */
  gate: Promise<void> = Promise.resolve();

  open: ConnectionDriver<Client>['open'] = async ({ fields }) => {
    this.tried += 1;
    await this.gate;
    const client = { password: reveal(fields.password), closed: false };
    this.ask(client);
    this.clients.push(client);
    return client;
  };
  close = async (client: Client) => {
    client.closed = true;
  };
  isAuthFailure = (outcome: unknown) =>
    outcome instanceof RefusedError || (outcome instanceof Response && outcome.status === 401);

  /** A request: answered with the password that was sent along. */
  ask = (client: Client): string => {
    if (client.closed) throw new Error('The client is closed');
    if (!this.accepted.has(client.password)) throw new RefusedError('refused');
    return client.password;
  };
}

let target: Target;
let store: Store;
let cache: SecretCache;
let connections: RotatingConnections<Client>;
const adoptions: Adoption[] = [];

beforeEach(() => {
  target = new Target();
  target.accepted.add('p-0');
  store = new Store();
  cache = cacheOver(store);
  adoptions.length = 0;
  connections = new RotatingConnections({
    cache,
    secretId: secret,
    driver: target,
    now: () => store.now,
    onAdopted: (adoption) => adoptions.push(adoption),
  });
});
afterEach(() => connections[Symbol.asyncDispose]());

/** AWSCURRENT moves, after the target has taken the new password; `false`: though it hasn't. */
function rotate({ accepted = true } = {}) {
  store.now += 5_000;
  const notice = store.rotate();
  if (accepted) target.accepted.add(`p-${Number(notice.versionId)}`);
  return notice;
}

const ask = () => connections.use(target.ask);

test('all who come at once share one client, and it is reported once', async () => {
  expect(new Set(await Promise.all(Array.from({ length: 100 }, ask)))).toEqual(new Set(['p-0']));
  expect(target.tried).toBe(1);
  expect(adoptions).toEqual([{ secret, versionId: versionIdOf(0), at: expect.any(Date) }]);
});

test('a client that can not be opened for another reason is not tried again by the same work', async () => {
  target.open = async () => {
    target.tried += 1;
    throw new TypeError('no route to the target');
  };
  await expect(ask()).rejects.toThrow('no route');
  expect(target.tried).toBe(1);
  expect(store.fetches).toHaveLength(1);
});

describe('a rotation', () => {
  test('sends new work to the new client once it stands; the old one closes when its last work has ended', async () => {
    await ask();
    const work = Promise.withResolvers<void>();
    const running = connections.use(async (client) => {
      await work.promise;
      return target.ask(client);
    });
    const gate = Promise.withResolvers<void>();
    target.gate = gate.promise;
    cache.notice(rotate());
    await settled();
    expect(target.tried).toBe(2);
    expect(await ask(), 'until the new one stands').toBe('p-0');
    gate.resolve();
    await settled();
    expect(await ask()).toBe('p-1');
    expect(connections.versionId).toBe(versionIdOf(1));
    expect(target.clients[0]?.closed).toBe(false);
    work.resolve();
    expect(await running).toBe('p-0');
    expect(target.clients.map(({ closed }) => closed)).toEqual([true, false]);
  });

  test('to a credential that the target refuses keeps the old client, and is tried again later', async () => {
    await ask();
    cache.notice(rotate({ accepted: false }));
    await settled();
    expect(target.tried, 'once more after reading it again').toBe(3);
    for (let count = 0; count < 10; count += 1) expect(await ask()).toBe('p-0');
    expect(target.tried).toBe(3);
    target.accepted.add('p-1');
    store.now += 1_000;
    expect(await ask()).toBe('p-0');
    await settled();
    expect(await ask()).toBe('p-1');
  });

  test('whose old client can not be closed fails no work, and says so by the class of the failure', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    await ask();
    target.close = () => Promise.reject(new RefusedError('p-0 would not go'));
    cache.notice(rotate());
    await settled();
    expect(await ask()).toBe('p-1');
    expect(warned.mock.calls).toEqual([['A client of the agent could not be closed: RefusedError']]);
    warned.mockRestore();
    target.close = async () => undefined;
  });
});

describe('work whose credential the target refuses', () => {
  test('is done once more with the one in force, be the refusal thrown or given', async () => {
    await ask();
    target.accepted.delete('p-0');
    rotate();
    expect(await ask()).toBe('p-1');

    target.accepted.delete('p-1');
    rotate();
    const answer = await connections.use(
      ({ password }) => new Response(password, { status: target.accepted.has(password) ? 200 : 401 }),
    );
    expect(await answer.text()).toBe('p-2');
  });

  test('is not repeated with the same one: the refusal stands', async () => {
    await ask();
    target.accepted.clear();
    const work = vi.fn(target.ask);
    await expect(connections.use(work)).rejects.toThrow(RefusedError);
    expect(work).toHaveBeenCalledTimes(1);
    expect(store.fetches).toHaveLength(2);
  });

  test('is done once where it fails in another way', async () => {
    const work = vi.fn(() => Promise.reject(new TypeError('no such key')));
    await expect(connections.use(work)).rejects.toThrow('no such key');
    expect(work).toHaveBeenCalledTimes(1);
    expect(store.fetches).toHaveLength(1);
  });
});

test('while the source is out of reach the open client serves, up to the hard bound', async () => {
  await ask();
  store.failure = new SourceUnreachableError('down');
  store.now += 3_600_000;
  expect(await ask()).toBe('p-0');
  store.now += 1;
  await expect(ask()).rejects.toThrow(SecretUnavailableError);
});

describe('closing', () => {
  test('waits for work that is under way, closes its client, and takes nothing on', async () => {
    const work = Promise.withResolvers<void>();
    const running = connections.use(async (client) => {
      await work.promise;
      return target.ask(client);
    });
    await settled();
    const order: string[] = [];
    const closed = connections[Symbol.asyncDispose]().then(() => order.push('closed'));
    await expect(ask()).rejects.toThrow(AgentClosedError);
    await settled();
    expect(order, 'not while work is under way').toEqual([]);
    expect(target.clients[0]?.closed).toBe(false);
    target.close = async (client) => {
      await settled();
      client.closed = true;
      order.push('client closed');
    };
    work.resolve();
    expect(await running).toBe('p-0');
    await closed;
    expect(order).toEqual(['client closed', 'closed']);
    expect(target.clients.map((client) => client.closed)).toEqual([true]);
  });

  test('waits for work on a client whose version was superseded, too', async () => {
    const work = Promise.withResolvers<void>();
    const running = connections.use(() => work.promise);
    await settled();
    cache.notice(rotate());
    await settled();
    expect(connections.versionId).toBe(versionIdOf(1));
    let isClosed = false;
    const closed = connections[Symbol.asyncDispose]().then(() => {
      isClosed = true;
    });
    await settled();
    expect([isClosed, ...target.clients.map((client) => client.closed)]).toEqual([false, false, true]);
    work.resolve();
    await running;
    await closed;
    expect(target.clients.every((client) => client.closed)).toBe(true);
  });

  test('while refused work reads its credential anew leaves no client open', async () => {
    await ask();
    target.accepted.delete('p-0');
    rotate();
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    const refused = ask();
    await settled();
    const closed = connections[Symbol.asyncDispose]();
    gate.resolve();
    await expect(refused).rejects.toThrow(AgentClosedError);
    await closed;
    expect(target.clients.every((client) => client.closed)).toBe(true);
  });

  test('comes with the agent that made them, which also tells of their adoptions', async () => {
    const told: Adoption[] = [];
    const agent = createAgentSecrets({
      agentId: 'billing-7',
      source: store,
      onAdopted: (one) => told.push(one),
    });
    const clients = agent.connections(secret, target);
    expect(told).toEqual([]);
    expect(await clients.use(target.ask)).toBe('p-0');
    expect(told).toMatchObject([{ secret, versionId: versionIdOf(0) }]);
    await agent.close();
    expect(target.clients[0]?.closed).toBe(true);
    expect(() => agent.connections(secret, target)).toThrow(AgentClosedError);
  });
});

test('a field that is no text is revealed as an error that says what it is', () => {
  expect(reveal('plain')).toBe('plain');
  expect(() => reveal(undefined)).toThrow(
    new SecretMalformedError('A field of the secret is no text but missing'),
  );
  expect(() => reveal({ password: 'hunter2' })).toThrow(
    new SecretMalformedError('A field of the secret is no text but object'),
  );
});
