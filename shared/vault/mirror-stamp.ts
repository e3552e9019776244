import type { Key } from './client.ts';
import type { MirroredVersion } from './mirrored-versions.ts';

/** What Keyturn noted beside a mirror's value, in the key's custom metadata. */
export interface MirrorStamp {
  /** Whose mirror it is: the claim, which is there before the value. */
  readonly secretArn: string | undefined;
  /** The version whose value was mirrored; undefined where none has been yet. */
  readonly versionId: string | undefined;
  readonly createdAt: Date;
  /** The KV version that it describes. */
  readonly kvVersion: string | undefined;
  readonly digest: string | undefined;
}

/** Whoever may write the key's metadata can write anything there. */
export function stampOf(key: Pick<Key, 'custom'> | undefined): MirrorStamp {
  const custom = key?.custom ?? {};
  const id = custom.keyturn_version_id;
  return {
    secretArn: custom.keyturn_secret,
    versionId: id !== undefined && /^[\w-]{1,64}$/.test(id) ? id : undefined,
    createdAt: new Date(Date.parse(custom.keyturn_version_created_at ?? '') || 0),
    kvVersion: custom.keyturn_kv_version,
    digest: custom.keyturn_digest,
  };
}

type Custom = Readonly<Record<string, string>>;

/** The key's custom metadata with a secret's claim. What others noted there stays. */
export function claimed(custom: Custom, secretArn: string): Custom {
  return { ...custom, keyturn_secret: secretArn };
}

/** The key's custom metadata with a whole stamp. `digest`: of the version's value, by `MirrorDigest`. */
export function stamped(
  custom: Custom,
  secretArn: string,
  { versionId, createdAt }: MirroredVersion,
  { kvVersion, digest }: { readonly kvVersion: number; readonly digest: string },
): Custom {
  return {
    ...claimed(custom, secretArn),
    keyturn_version_id: versionId,
    keyturn_version_created_at: createdAt.toISOString(),
    keyturn_kv_version: String(kvVersion),
    keyturn_digest: digest,
  };
}
