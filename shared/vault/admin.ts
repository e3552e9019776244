import nodeVault from 'node-vault';
import * as z from 'zod';
import { SecretValue } from '../credential/secret-value.ts';
import { parsed, translated } from './client.ts';
import { VaultResponseError } from './errors.ts';

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

const answerWithData = z
  .object({ data: z.record(z.string(), z.unknown()).nullish() })
  .nullish()
  // No body is an empty text.
  .catch(undefined);

const answers = {
  read: answerWithData,
  written: z.object({ answer: answerWithData }),
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
    read: async (path) => parsed(answers.read, await translated(() => client.read(path)))?.data ?? undefined,
    async list(path) {
      const answer = await translated(() => client.list(path));
      return answer === undefined ? [] : parsed(answers.keys, answer).data.keys;
    },
    async write(path, body) {
      const written = await translated(async () => ({ answer: await client.write(path, body) }));
      // Undefined is Vault's 404, and 204 an answer without a body.
      if (written === undefined) throw new VaultResponseError(`Vault has no ${path}: is its mount enabled?`);
      return parsed(answers.written, written).answer?.data ?? undefined;
    },
    remove: async (path) => void (await translated(() => client.delete(path))),
  };
}
