import { Logger } from '@aws-lambda-powertools/logger';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SNSClient } from '@aws-sdk/client-sns';
import middy from '@middy/core';
import * as z from 'zod';
import type { Alert } from '../../shared/health/episode.ts';
import { alertsTo } from '../../shared/notification/alert.ts';
import { healthState } from '../../shared/state/health-state.ts';
import { appRoleLogin, connectVault } from '../../shared/vault/client.ts';
import { readAppRole } from '../../shared/vault/login-secret.ts';
import { listTargets, type Target, targetWorks, vaultWorks } from './probes.ts';
import { recordProbe } from './record-probe.ts';

const environment = z
  .object({
    STATE_TABLE_NAME: z.string().min(1),
    ALERT_TOPIC_ARN: z.string().min(1),
    VAULT_ADDR: z.string(),
    VAULT_LOGIN_SECRET: z.string(),
    RUNBOOK_URL: z.string(),
  })
  .parse(process.env);
const log = new Logger({ serviceName: 'check-backend-health' });
const secretsManager = new SecretsManagerClient({ maxAttempts: 2 });
const sendAlert = alertsTo(new SNSClient({}), environment.ALERT_TOPIC_ARN);
const state = healthState(new DynamoDBClient({}), environment.STATE_TABLE_NAME);
const vault = environment.VAULT_ADDR
  ? connectVault({
      address: environment.VAULT_ADDR,
      mount: 'secret',
      login: appRoleLogin(() => readAppRole(secretsManager, environment.VAULT_LOGIN_SECRET)),
    })
  : undefined;

const affects = (backend: string) =>
  backend === 'secrets-manager'
    ? 'every rotation, and agents whose cache has expired'
    : backend === 'vault'
      ? 'mirrors in Vault and the agents that read them'
      : `rotations and agents of ${backend}`;

async function send(backend: string, { kind, since, at }: Alert): Promise<void> {
  const opened = kind === 'opened';
  await sendAlert({
    what: opened ? `${backend} is unhealthy` : `${backend} has recovered`,
    backend,
    state: opened ? 'unhealthy' : 'recovered',
    since,
    at,
    affects: affects(backend),
    runbook: `${environment.RUNBOOK_URL}/backend-unhealthy.md`,
  });
}

export const handler = middy<{ id?: string }>().handler(async (event, context) => {
  const runId = event.id ?? context.awsRequestId;
  const check = async (backend: string, probe: () => Promise<boolean>) => {
    const ok = await probe().catch((error: unknown) => {
      log.warn('probe failed', { backend, reason: error instanceof Error ? error.name : 'unknown' });
      return false;
    });
    await recordProbe(backend, ok, runId, { state, send, now: () => new Date() });
  };
  let targets: readonly Target[] = [];
  const listed = async () => {
    targets = await listTargets(secretsManager);
    return true;
  };
  const first = await Promise.allSettled([
    check('secrets-manager', listed),
    ...(vault ? [check('vault', () => vaultWorks(environment.VAULT_ADDR, vault))] : []),
  ]);
  const rest = await Promise.allSettled(
    targets.map((target) => check(`target ${target.backend}`, () => targetWorks(secretsManager, target))),
  );
  const failed = [...first, ...rest].filter(({ status }) => status === 'rejected').length;
  if (failed > 0) throw new Error(`The health of ${failed} backends could not be recorded`);
});
