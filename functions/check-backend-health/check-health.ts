import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Vault } from '../../shared/vault/client.ts';
import { checkBackends, type HealthCheck, type ProbeBackend } from './check-backends.ts';
import { listTargets, type Target } from './probe-secrets-manager.ts';
import { probeTarget } from './probe-target.ts';
import { probeVault } from './probe-vault.ts';

export interface Systems {
  readonly secretsManager: SecretsManagerClient;
  readonly vault: Pick<Vault, 'lookupToken'>;
  /** Empty where there is no Vault. */
  readonly vaultAddress: string;
}

/**
 * Probes Secrets Manager and Vault, then the targets: those are known only once Secrets Manager has answered; where it has not,
 * they keep the health they had.
 *
 * A probe only reads. Killed anywhere and repeated with the same `runId`, what was recorded counts once, and an alert that was
 * recorded and not sent goes out; a run that is never repeated is one probe less in the window.
 */
export async function checkHealth(
  { secretsManager, vault, vaultAddress }: Systems,
  check: HealthCheck,
): Promise<void> {
  const { deadlineMs } = check;
  let targets: readonly Target[] = [];
  const systems = new Map<string, ProbeBackend>([
    [
      'secrets-manager',
      async () => {
        targets = await listTargets(secretsManager, deadlineMs);
        return undefined;
      },
    ],
  ]);
  if (vaultAddress) systems.set('vault', () => probeVault(vaultAddress, vault, deadlineMs));
  const servers = () =>
    new Map(
      targets.map((target): [string, ProbeBackend] => [
        `target ${target.name}`,
        () => probeTarget(secretsManager, target, deadlineMs),
      ]),
    );
  try {
    await checkBackends(systems, check);
  } finally {
    await checkBackends(servers(), check);
  }
}
