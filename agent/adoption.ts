import type { SecretVersion } from './secret-version.ts';

/** An instance uses a version: a pool made its first connection with it, or, without a pool, it was read to be used. */
export interface Adoption {
  /** The secret as its user calls it: a name or an ARN. */
  readonly secret: string;
  /** As Secrets Manager calls it, if it comes from there. */
  readonly secretArn?: string;
  readonly secretName?: string;
  readonly versionId: string;
  readonly at: Date;
}

/** The adoption of a version that was read. */
export function adoptionOf(secret: string, { arn, name, versionId }: SecretVersion): Adoption {
  return {
    secret,
    ...(arn !== undefined && { secretArn: arn }),
    ...(name !== undefined && { secretName: name }),
    versionId,
    at: new Date(),
  };
}

/** Must be quick. What it throws becomes a process warning, and hurts no query. */
export type AdoptionListener = (adoption: Adoption) => void;
