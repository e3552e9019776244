import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { IsAdminSecret } from '../credential/admin-secrets.ts';

/** In the order in which Secrets Manager asks for them. */
export const steps = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const;
export type Step = (typeof steps)[number];

/** One rotation of one secret; its id is the token, which is the id of the version that it makes. */
export interface Rotation {
  readonly secretArn: string;
  readonly token: string;
  /** Of a rotation from another account: passed on to PutSecretValue, and logged nowhere. */
  readonly rotationToken: string | undefined;
}

export interface RotationParts {
  readonly secretsManager: SecretsManagerClient;
  /** Asked before the secret that `masterarn` names is read. */
  readonly isAdminSecret: IsAdminSecret;
  /** Waits before a read, in milliseconds: Secrets Manager's reads are eventually consistent. */
  readonly pause: (ms: number) => Promise<unknown>;
  /** Secrets Manager's own time, by which versions are dated. */
  readonly now: () => Date;
}
