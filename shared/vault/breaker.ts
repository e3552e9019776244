import type { Vault } from './client.ts';
import { VaultDeniedError, VaultSealedError, VaultStandbyError, VaultUnreachableError } from './errors.ts';

/** Vault failed too often in a row, so it is not called any more. Come again later. */
export class VaultGivenUpError extends Error {
  override readonly name = 'VaultGivenUpError';
}

const inARow = 5;

/**
 * A Vault that stops asking after a few failures in a row: one that is down, sealed or refuses every login isn't helped by
 * ten thousand calls more. For one run; it does not close again.
 */
export function guarded(vault: Vault): Vault {
  let failures = 0;
  const guard =
    <Arguments extends unknown[], Result>(call: (...args: Arguments) => Promise<Result>) =>
    async (...args: Arguments): Promise<Result> => {
      if (failures >= inARow) throw new VaultGivenUpError('Vault failed several times in a row');
      try {
        const result = await call(...args);
        failures = 0;
        return result;
      } catch (error) {
        failures = isOutage(error) ? failures + 1 : 0;
        throw error;
      }
    };
  return {
    readData: guard(vault.readData),
    writeData: guard(vault.writeData),
    readMetadata: guard(vault.readMetadata),
    readKey: guard(vault.readKey),
    writeCustomMetadata: guard(vault.writeCustomMetadata),
    list: guard(vault.list),
    remove: guard(vault.remove),
    lookupToken: guard(vault.lookupToken),
  };
}

/** A refusal may be of one path only, which others in between tell apart from a login that is gone. */
function isOutage(error: unknown): boolean {
  return (
    error instanceof VaultUnreachableError ||
    error instanceof VaultSealedError ||
    error instanceof VaultStandbyError ||
    error instanceof VaultDeniedError
  );
}
