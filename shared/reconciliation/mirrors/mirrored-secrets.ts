import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { listFleet } from '../../fleet/secrets.ts';
import { versionWith } from '../../labels/stages.ts';

/** A secret with a mirror, as ListSecrets tells of it: up to five minutes late. */
export interface MirroredSecret {
  readonly secret: string;
  readonly secretArn: string;
  readonly agentId: string;
  /** The tag `keyturn:mirror`, as it stands there. */
  readonly path: string;
  readonly currentVersionId: string | undefined;
  /** It can be restored, so its mirror stays until it is gone. */
  readonly isScheduledForDeletion: boolean;
}

/** In the order of their paths. A hundred secrets a call, with their labels, so that most need no call of their own. */
export async function mirroredSecrets(client: SecretsManagerClient): Promise<readonly MirroredSecret[]> {
  const fleet = await listFleet(client, { tagged: 'keyturn:mirror', withDeleted: true });
  return fleet
    .map((secret) => ({
      secret: secret.name,
      secretArn: secret.arn,
      agentId: secret.agentId,
      path: secret.tags['keyturn:mirror'] ?? '',
      currentVersionId: versionWith('AWSCURRENT', secret),
      isScheduledForDeletion: secret.isScheduledForDeletion,
    }))
    .sort((one, other) => (one.path < other.path ? -1 : 1));
}
