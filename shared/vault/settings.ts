import * as z from 'zod';

/** How a function is told of Vault. Without an address there is none: what is to be mirrored fails, and says so. */
export const vaultSettings = z.object({
  VAULT_ADDR: z.union([z.literal(''), z.url({ protocol: /^https?$/ })]).default(''),
  /** Of HCP or Enterprise: where the login and the mount are. */
  VAULT_NAMESPACE: z.string().default(''),
  VAULT_MOUNT: z.string().min(1).default('secret'),
  /** A Secrets Manager secret with an AppRole. */
  VAULT_LOGIN_SECRET: z.string().default(''),
  /** A role of Vault's AWS auth method: the function then logs in as its own IAM role, and needs no AppRole. */
  VAULT_AWS_ROLE: z.string().default(''),
  /** What Vault's `iam_server_id_header_value` demands, so that a login for another Vault can't be replayed here. */
  VAULT_AWS_SERVER_ID: z.string().default(''),
});

export type VaultSettings = z.output<typeof vaultSettings>;
