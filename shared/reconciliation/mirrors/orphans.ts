import { DescribeSecretCommand, ResourceNotFoundException } from '@aws-sdk/client-secrets-manager';
import pMap from 'p-map';
import { isManaged } from '../../labels/tags.ts';
import { called } from '../../secrets-manager/errors.ts';
import type { Vault } from '../../vault/client.ts';
import type { MirrorParts } from '../../vault/examine-mirror.ts';
import { stampOf } from '../../vault/mirror-stamp.ts';
import type { LookOptions } from './look-at-mirror.ts';
import { explanations, type MirrorFinding } from './mirror-finding.ts';

/** Every key below a folder: a call for each folder in it, level by level. */
export async function keysBelow(
  vault: Pick<Vault, 'list'>,
  folder: string,
  concurrency: number,
): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let folders: readonly string[] = [folder]; folders.length > 0; ) {
    const level = await pMap(
      folders,
      async (each) => (await vault.list(each)).map((name) => `${each}${name}`),
      { concurrency },
    );
    const found = level.flat();
    keys.push(...found.filter((path) => !path.endsWith('/')));
    folders = found.filter((path) => path.endsWith('/'));
  }
  return keys;
}

/**
 * Removes a key that Keyturn wrote for a secret which is gone, or is mirrored elsewhere or no more. A secret that is
 * scheduled for deletion can come back, so its mirror stays. A key with another owner's stamp, or none, is nobody's
 * business here; `ownArns`: this deployment's account and region, for another's secrets can't be looked up.
 *
 * The stamp is read right before the removal, which knows no check-and-set: a secret that is mirrored there again in
 * between is written again by its next event, or by the next run.
 */
export async function lookAtOrphan(
  path: string,
  parts: MirrorParts,
  {
    heals,
    ownArns,
    hasMirror,
  }: Pick<LookOptions, 'heals'> & {
    readonly ownArns: string;
    /** Whether the mirror at the path that a secret's tag names stands well. */
    readonly hasMirror: (secretArn: string) => boolean;
  },
): Promise<MirrorFinding | undefined> {
  const stamp = stampOf(await parts.vault.readMetadata(path));
  const { secretArn = '' } = stamp;
  if (!secretArn.startsWith(ownArns) || !/^[\w/+=.@:-]{1,700}$/.test(secretArn)) return undefined;
  const [, agentId = ''] = path.split('/');
  const owner = await ownerOf(secretArn, parts);
  if (owner === 'to be deleted' || owner?.path === path) return undefined;
  // It was moved, and what its readers are to read from now on isn't there yet.
  if (owner && !hasMirror(secretArn)) return undefined;
  if (heals) {
    const again = stampOf(await parts.vault.readMetadata(path));
    if (again.secretArn !== secretArn) return undefined;
    await parts.vault.remove(path);
  }
  return {
    kind: 'mirror-orphaned',
    path,
    secret: secretArn.slice(ownArns.length).replace(/-\w{6}$/, ''),
    secretArn,
    agentId,
    ...(stamp.versionId !== undefined && { stampedVersionId: stamp.versionId }),
    explanation: explanations['mirror-orphaned'],
    outcome: heals ? 'repaired' : 'waiting',
  };
}

/** Undefined where it is gone or has no mirror. By a fresh answer about this one secret: a list may be five minutes late. */
async function ownerOf(
  secretArn: string,
  { secretsManager }: MirrorParts,
): Promise<{ readonly path: string } | 'to be deleted' | undefined> {
  return called('DescribeSecret', async () => {
    try {
      const { DeletedDate, Tags = [] } = await secretsManager.send(
        new DescribeSecretCommand({ SecretId: secretArn }),
      );
      if (DeletedDate) return 'to be deleted';
      const tags = Object.fromEntries(Tags.map(({ Key, Value }) => [Key ?? '', Value ?? '']));
      const path = tags['keyturn:mirror'];
      return path !== undefined && isManaged(tags) ? { path } : undefined;
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  });
}
