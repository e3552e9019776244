import nodeVault from 'node-vault';
import * as z from 'zod';
import { SecretValue } from '../credential/secret-value.ts';
import { parsed, translated } from './client.ts';

/** Vault as its administrator sees it: policies, roles, leases and tokens. Errors are those of `errors.ts`, without causes. */
export interface VaultAdmin {
  /** The answer's `data`; undefined where there is none. */
  read(path: string): Promise<Readonly<Record<string, unknown>> | undefined>;
  list(path: string): Promise<readonly string[]>;
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
  any: z
    .object({ data: z.record(z.string(), z.unknown()).nullish() })
    .nullish()
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
  const client = nodeVault({
    endpoint: address.replace(/\/$/, ''),
    requestOptions: { timeout: timeoutMs },
    ...(namespace !== undefined && { namespace }),
  });
  client.token = token.reveal();
  return {
    read: async (path) => parsed(answers.any, await translated(() => client.read(path)))?.data ?? undefined,
    async list(path) {
      const answer = await translated(() => client.list(path));
      return answer === undefined ? [] : parsed(answers.keys, answer).data.keys;
    },
    write: async (path, body) =>
      parsed(answers.any, await translated(() => client.write(path, body)))?.data ?? undefined,
    remove: async (path) => void (await translated(() => client.delete(path))),
  };
}
