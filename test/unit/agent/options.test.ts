import { expect, test } from 'vitest';
import {
  createAgentSecrets,
  createAgentVault,
  kubernetesLogin,
  retryOnAuthFailure,
  SecretCache,
} from '../../../agent/index.ts';
import { Store, secret } from './setting.ts';

/** Of a variable that may not be set, as `process.env` gives it. */
const unset = undefined;

test('an option that is set to undefined is as one that is left out, to the compiler too', async () => {
  const options = {
    queueUrl: unset,
    topicArn: unset,
    eventBusName: unset,
    instanceId: unset,
    aws: { region: unset, endpoint: unset, requestHandler: unset },
    sqs: unset,
    log: unset,
    onAdopted: unset,
    onConnected: unset,
    ttlMs: unset,
    staleMs: unset,
    maxEntries: unset,
    now: unset,
  };
  await using agent = createAgentSecrets({ agentId: 'billing-7', source: new Store(), ...options });
  await using _pool = agent.postgres(secret, { field: unset, pool: unset, tls: unset, onAdopted: unset });
  expect((await agent.get(secret)).stages).toEqual(['AWSCURRENT']);
  expect(agent.connected).toBe(false);
  const login = kubernetesLogin({ role: 'billing', mount: unset, tokenPath: unset });
  await using vault = createAgentVault({
    address: 'http://127.0.0.1:1',
    login,
    namespace: unset,
    timeoutMs: unset,
    mount: unset,
    log: unset,
    ttlMs: unset,
    random: unset,
    wait: unset,
  });
  expect(vault.health()).toEqual([]);
  vault.onDatabaseCredentials('billing', () => undefined, { mount: unset })[Symbol.dispose]();
  const which = { versionId: unset, versionStage: unset };
  expect((await agent.version(secret, which)).stages).toEqual(['AWSCURRENT']);
  await retryOnAuthFailure(agent, secret, async () => 'done', { isAuthFailure: unset });
  using cache = new SecretCache(new Store(), { onVersion: unset, onForgotten: unset, ttlMs: unset });
  expect((await cache.get(secret)).stages).toEqual(['AWSCURRENT']);
});
