import type { Problem } from '../../shared/health/episode.ts';
import type { Vault } from '../../shared/vault/client.ts';
import { type VaultHealth, vaultHealth } from '../../shared/vault/health.ts';

/** A standby forwards what it is asked, so it serves. A disaster recovery secondary serves nobody until it is promoted. */
const problems: Readonly<Record<VaultHealth, string | undefined>> = {
  active: undefined,
  standby: undefined,
  'performance-standby': undefined,
  'standby-without-active': 'Vault has standby nodes only and no active one',
  'disaster-recovery-secondary': 'The Vault that answers is a disaster recovery secondary',
  removed: 'The Vault node that answers was removed from its cluster',
  uninitialised: 'Vault is not initialised',
  sealed: 'Vault is sealed',
  unreachable: 'Vault can not be reached',
  unknown: 'Vault answers sys/health with an unknown status',
};

/** Asks how Vault is, then logs in as the mirrors do. A token that can't be renewed works, and then ends: `degraded`. */
export async function probeVault(
  address: string,
  vault: Pick<Vault, 'lookupToken'>,
  deadlineMs: number,
): Promise<Problem | undefined> {
  const reason = problems[await vaultHealth(address, deadlineMs)];
  if (reason !== undefined) return { severity: 'unhealthy', reason };
  const { renewable } = await vault.lookupToken();
  return renewable
    ? undefined
    : { severity: 'degraded', reason: 'The token that Keyturn gets from Vault can not be renewed' };
}
