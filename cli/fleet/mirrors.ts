import pMap from 'p-map';
import type { FleetSecret } from '../../shared/fleet/secrets.ts';
import { versionWith } from '../../shared/labels/stages.ts';
import type { Vault } from '../../shared/vault/client.ts';
import { mirrorPath } from '../../shared/vault/mirror-path.ts';
import { stampOf } from '../../shared/vault/mirror-stamp.ts';
import { sentenceOf } from '../failure.ts';

export interface MirrorStatus {
  /** `current`: stamped with the version in use. `foreign`: somebody else's key is at the path. */
  readonly state: 'current' | 'behind' | 'changed' | 'missing' | 'foreign' | 'unknown';
  readonly reason?: string;
}

const atOnce = 32;

/** How the mirrors stand, by the secrets' ARNs. Reads stamps only, which hold no value. */
export async function mirrorsOf(
  secrets: readonly FleetSecret[],
  vault: Pick<Vault, 'readMetadata'>,
): Promise<ReadonlyMap<string, MirrorStatus>> {
  const mirrored = secrets.filter(({ tags }) => tags['keyturn:mirror'] !== undefined);
  const found = await pMap(
    mirrored,
    async (secret) => {
      const status = await mirrorOf(secret, vault).catch(
        (error: unknown): MirrorStatus => ({ state: 'unknown', reason: sentenceOf(error) }),
      );
      return [secret.arn, status] as const;
    },
    { concurrency: atOnce },
  );
  return new Map(found);
}

async function mirrorOf(secret: FleetSecret, vault: Pick<Vault, 'readMetadata'>): Promise<MirrorStatus> {
  const { arn, agentId, tags } = secret;
  const key = await vault.readMetadata(mirrorPath(tags['keyturn:mirror'] ?? '', agentId));
  if (!key) return { state: 'missing' };
  const stamp = stampOf(key);
  if (stamp.secretArn !== arn) return { state: 'foreign' };
  if (stamp.versionId !== versionWith('AWSCURRENT', secret)) return { state: 'behind' };
  return { state: stamp.kvVersion === String(key.currentVersion) ? 'current' : 'changed' };
}
