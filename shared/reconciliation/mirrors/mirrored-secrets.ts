import { paginateListSecrets, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { isManaged } from '../../labels/tags.ts';
import { called } from '../../secrets-manager/errors.ts';

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
  return called('ListSecrets', async () => {
    const found: MirroredSecret[] = [];
    const pages = paginateListSecrets(
      { client, pageSize: 100 },
      { Filters: [{ Key: 'tag-key', Values: ['keyturn:mirror'] }], IncludePlannedDeletion: true },
    );
    for await (const { SecretList = [] } of pages) {
      for (const { ARN, Name = '', Tags = [], SecretVersionsToStages = {}, DeletedDate } of SecretList) {
        const tags = Object.fromEntries(Tags.map(({ Key, Value }) => [Key ?? '', Value ?? '']));
        const path = tags['keyturn:mirror'];
        if (ARN === undefined || path === undefined || !isManaged(tags)) continue;
        const [currentVersionId] =
          Object.entries(SecretVersionsToStages).find(([, labels]) => labels.includes('AWSCURRENT')) ?? [];
        found.push({
          secret: Name,
          secretArn: ARN,
          agentId: tags.agent_id || 'unknown',
          path,
          currentVersionId,
          isScheduledForDeletion: DeletedDate !== undefined,
        });
      }
    }
    return found.sort((one, other) => (one.path < other.path ? -1 : 1));
  });
}
