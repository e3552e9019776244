import { createHmac, timingSafeEqual } from 'node:crypto';
import { GetSecretValueCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { called } from '../secrets-manager/errors.ts';

/** The secret with the digest key holds too little to be one. */
export class DigestKeyError extends Error {
  override readonly name = 'DigestKeyError';
}

/**
 * Says what a mirror held when it was written, so that a change by hand is seen without reading the secret's value. Without
 * the key, whoever reads the digest in Vault's metadata can't try values against it.
 */
export interface MirrorDigest {
  /** Of a value, as that secret's version: another version's value with its digest isn't taken for this one's. */
  of(secretArn: string, versionId: string, value: Readonly<Record<string, unknown>>): string;
  /** `unknown`: there is no digest, or it was made with another key. */
  verify(
    digest: string | undefined,
    secretArn: string,
    versionId: string,
    value: Readonly<Record<string, unknown>>,
  ): 'same' | 'different' | 'unknown';
}

/**
 * A digest begins with an id of its key: with a new key, those of the old one are made anew instead of being called wrong.
 *
 * @example mirrorDigest(key).of(arn, versionId, { password: '...' }); // 'a1b2c3d4:5e6f...'
 */
export function mirrorDigest(key: Buffer): MirrorDigest {
  const keyId = createHmac('sha256', key).update('key id').digest('hex').slice(0, 8);
  const of: MirrorDigest['of'] = (secretArn, versionId, value) => {
    const text = JSON.stringify([secretArn, versionId, canonical(value)]);
    return `${keyId}:${createHmac('sha256', key).update(text).digest('hex')}`;
  };
  return {
    of,
    verify(digest, secretArn, versionId, value) {
      if (!digest?.startsWith(`${keyId}:`)) return 'unknown';
      const [given, own] = [Buffer.from(digest), Buffer.from(of(secretArn, versionId, value))];
      return given.length === own.length && timingSafeEqual(given, own) ? 'same' : 'different';
    },
  };
}

/** Whether both are the same JSON, in whatever order their fields are. */
export function isSameJson(one: unknown, other: unknown): boolean {
  return JSON.stringify(canonical(one)) === JSON.stringify(canonical(other));
}

/** JSON with every object as its sorted entries: Vault gives fields back in an order of its own. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return ['list', ...value.map(canonical)];
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return ['object', ...entries.map(([field, content]) => [field, canonical(content)])];
}

/**
 * The digest with the key that a secret holds, read once. A read that failed is tried again by the next who asks.
 *
 * @example const digest = digestFrom(secretsManager, 'keyturn/prod/mirror-digest-key');
 */
export function digestFrom(
  secretsManager: SecretsManagerClient,
  secretId: string,
): () => Promise<MirrorDigest> {
  let reading: Promise<MirrorDigest> | undefined;
  const read = async () => {
    const { SecretString = '' } = await called('GetSecretValue', () =>
      secretsManager.send(new GetSecretValueCommand({ SecretId: secretId })),
    );
    if (SecretString.length < 32) throw new DigestKeyError('The mirror digest key is too short');
    return mirrorDigest(Buffer.from(SecretString));
  };
  return async () => {
    reading ??= read();
    try {
      return await reading;
    } catch (error) {
      reading = undefined;
      throw error;
    }
  };
}
