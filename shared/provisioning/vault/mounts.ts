import * as z from 'zod';

/** Becomes a part of policies and paths: nothing in it may mean more than itself. */
const mount = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/, 'expected names of A-Z, a-z, 0-9, _ and -, parted by /');

/** Where the engines and the auth method are mounted. */
export const vaultMounts = z.strictObject({
  /** KV, version 2. */
  kv: mount.default('secret'),
  database: mount.default('database'),
  /** Below `auth/`. */
  kubernetes: mount.default('kubernetes'),
});

/** As `vaultMounts` reads them. */
export type VaultMounts = z.infer<typeof vaultMounts>;

/** Where Vault's own documentation mounts them. */
export const defaultMounts: VaultMounts = vaultMounts.parse({});
