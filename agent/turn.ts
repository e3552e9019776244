import type { SecretVersion } from './secret-version.ts';

/** The secrets of one turn of an agent. */
export interface PinnedSecrets {
  /** As the agent's `get`; within a turn each secret is asked for once, and stays the version that it was then. */
  get(secretId: string): Promise<SecretVersion>;
}

/**
 * Does a turn's work with one version of each secret, whatever is rotated meanwhile: the superseded version works until its
 * grace period ends, so a turn should be shorter than that. A read that failed is tried again when it is asked for again.
 */
export async function turnWith<Result>(
  read: (secretId: string) => Promise<SecretVersion>,
  work: (pinned: PinnedSecrets) => Promise<Result>,
): Promise<Result> {
  const pinned = new Map<string, Promise<SecretVersion>>();
  return work({
    get(secretId) {
      const known = pinned.get(secretId);
      if (known) return known;
      const reading = read(secretId);
      pinned.set(secretId, reading);
      reading.catch(() => pinned.delete(secretId));
      return reading;
    },
  });
}
