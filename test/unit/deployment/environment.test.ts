import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { root } from '../../../local/root.ts';
import { functions } from './template.ts';

const needed: Readonly<Record<string, string>> = {
  'alert-rotation-failure': 'STATE_TABLE_NAME',
  'announce-rotation': 'EVENT_BUS_NAME',
  'check-backend-health': 'ALERT_TOPIC_ARN',
  'invalidate-caches': 'INVALIDATION_TOPIC_ARN',
  'reconcile-fleet': 'STATE_TABLE_NAME',
  'record-adoption': 'OWN_SECRET_ARNS',
  'reconcile-mirrors': 'OWN_SECRET_ARNS',
  'revoke-superseded': 'EVENT_BUS_NAME',
  'rotate-secret': 'EVENT_BUS_NAME',
};

beforeEach(() => {
  vi.resetModules();
  vi.stubEnv('AWS_REGION', 'eu-central-1');
  for (const name of new Set(functions.flatMap((one) => Object.keys(one.function.environment))))
    vi.stubEnv(name, undefined);
});
afterEach(() => vi.unstubAllEnvs());

it.each(Object.entries(needed))(
  '%s without %s does not start, and says what is missing',
  async (name, variable) => {
    await expect(import(join(root, `functions/${name}/handler.ts`))).rejects.toMatchObject({
      name: 'UnexpectedShapeError',
      message: expect.stringMatching(new RegExp(`^The environment of ${name} .*${variable}`)),
    });
  },
);

const alerting = functions.filter((one) => 'ALERT_TOPIC_ARN' in one.function.environment);

it('four functions alert on-call, and each is told the stage that its alerts name', () => {
  expect(alerting.map((one) => String(one.function.environment.KEYTURN_STAGE))).toEqual(
    Array.from({ length: 4 }, () => expect.stringMatching(/^\$\{sls:stage\}$/)),
  );
});

it('sync-vault-mirror does not start with an address of Vault that is none', async () => {
  vi.stubEnv('VAULT_ADDR', 'vault.example');
  await expect(import(join(root, 'functions/sync-vault-mirror/handler.ts'))).rejects.toMatchObject({
    message: expect.stringContaining('VAULT_ADDR'),
  });
});
