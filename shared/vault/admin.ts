import * as z from 'zod';
import { SecretValue } from '../credential/secret-value.ts';
import { VaultResponseError } from './errors.ts';
import { listOf, parsed, vaultRequests } from './requests.ts';

/** Vault as its administrator sees it: policies, roles, leases and tokens. Errors are those of `errors.ts`, without causes. */
export interface VaultAdmin {
  /** The answer's `data`; undefined where Vault has nothing of that name. */
  read(path: string): Promise<Readonly<Record<string, unknown>> | undefined>;
  list(path: string): Promise<readonly string[]>;
  /** @throws VaultResponseError where nothing is mounted there, too */
  write(
    path: string,
    body: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** What isn't there is gone already. */
  remove(path: string): Promise<void>;
}

/** Where an administrator's Vault is, under the names that Vault's own command has for it. */
export const vaultAdminSettings = z
  .object({
    VAULT_ADDR: z.url({ protocol: /^https?$/ }),
    VAULT_TOKEN: z.string().min(1),
    VAULT_NAMESPACE: z.string().optional(),
  })
  .transform(({ VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE }) => ({
    address: VAULT_ADDR,
    token: SecretValue.of(VAULT_TOKEN),
    namespace: VAULT_NAMESPACE,
  }));

const answers = {
  data: z
    .object({ data: z.record(z.string(), z.unknown()).nullish() })
    .nullish()
    // No body is an empty text.
    .catch(undefined),
  keys: z.object({ data: z.object({ keys: z.array(z.string()) }) }),
};

/**
 * Its token needs what `docs/operators.md` lists. Leases are revoked while one waits, hence the long time-out.
 *
 * @example
 * const vault = connectVaultAdmin(vaultAdminSettings.parse(process.env));
 * await vault.read('sys/policies/acl/agent-billing');
 */
export function connectVaultAdmin(options: {
  readonly address: string;
  readonly token: SecretValue;
  readonly namespace?: string | undefined;
  readonly timeoutMs?: number;
}): VaultAdmin {
  const { address, token, namespace, timeoutMs = 60_000 } = options;
  const ask = vaultRequests({ address, namespace, timeoutMs });
  const dataOf = (answer: unknown) => parsed(answers.data, answer)?.data ?? undefined;
  return {
    read: async (path) => dataOf(await ask('GET', path, { token })),
    async list(path) {
      const answer = await ask('GET', listOf(path), { token });
      return answer === undefined ? [] : parsed(answers.keys, answer).data.keys;
    },
    async write(path, body) {
      const answer = await ask('POST', path, { token, body });
      if (answer === undefined) throw new VaultResponseError(`Vault has no ${path}: is its mount enabled?`);
      return dataOf(answer);
    },
    remove: async (path) => void (await ask('DELETE', path, { token })),
  };
}
