import * as z from 'zod';
import { parsed } from '../events/contract.ts';
import type { Vault } from '../shared/vault/client.ts';
import { vaultSettings } from '../shared/vault/settings.ts';
import type { Known } from './fleet/known.ts';

const environment = vaultSettings
  .pick({ VAULT_ADDR: true, VAULT_NAMESPACE: true, VAULT_MOUNT: true })
  .extend({
    VAULT_TOKEN: z.string().default(''),
  });

/** Vault as the person at the terminal may use it, by the variables that `vault` itself reads. */
export async function operatorsVault(): Promise<Known<Vault>> {
  const {
    VAULT_ADDR: address,
    VAULT_NAMESPACE: namespace,
    VAULT_MOUNT: mount,
    VAULT_TOKEN: token,
  } = parsed('The environment', environment, process.env);
  if (address === '' || token === '') return { unknown: 'VAULT_ADDR and VAULT_TOKEN are not both given' };
  const { connectVault } = await import('../shared/vault/client.ts');
  return { fact: connectVault({ address, namespace, mount, login: { token } }) };
}
