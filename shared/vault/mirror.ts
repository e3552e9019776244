import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  paginateListSecretVersionIds,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import type { Vault } from './client.ts';

/** The tag names a path that is not inside the agent's own prefix. Asks for a change of the tag; no retry helps. */
export class MirrorPathError extends Error {
  override readonly name = 'MirrorPathError';
}
/** Someone else's key is at the path. It is not overwritten. */
export class MirrorTakenError extends Error {
  override readonly name = 'MirrorTakenError';
}
/** Secrets Manager's answer is older than what was mirrored. Worth a retry. */
export class StaleReadError extends Error {
  override readonly name = 'StaleReadError';
}
/** The secret can't be mirrored: KV holds JSON objects only. */
export class MirrorValueError extends Error {
  override readonly name = 'MirrorValueError';
}

export type MirrorOutcome = 'not-mirrored' | 'unchanged' | 'written';

/**
 * Checks the tag `keyturn:mirror`. Only plain characters pass, so '..', '%2e', '+' and '*' have nothing to be decoded from.
 *
 * @example mirrorPath('agents/a1/credentials', 'a1'); // 'agents/a1/credentials'
 */
export function mirrorPath(tag: string, agentId: string): string {
  const segments = tag.split('/');
  const plain = segments.every((segment) => /^[A-Za-z0-9_.@=-]+$/.test(segment) && !/^\.+$/.test(segment));
  if (!plain || segments.length < 3 || segments[0] !== 'agents' || segments[1] !== agentId) {
    throw new MirrorPathError('Tag keyturn:mirror: expected a plain path inside agents/{agent_id}/');
  }
  return tag;
}

/**
 * Brings a secret's mirror to AWSCURRENT as it is read now, whatever version an event named.
 *
 * Killed anywhere, the next run converges: the key is claimed before its data is written, and the data before the version
 * stamp. Data without its stamp looks outdated and is written again; a stamp without its data can't come to be. The stamp
 * names the KV version that it describes, so a stamp that is late, or a change by hand, is seen too.
 * A key that someone creates between the check and the claim is kept by this run (CAS 0), but not by the next.
 */
export async function syncMirror(
  secretId: string,
  { secretsManager, vault }: { secretsManager: SecretsManagerClient; vault: Vault },
): Promise<MirrorOutcome> {
  const secret = await secretsManager.send(new DescribeSecretCommand({ SecretId: secretId }));
  const tags = Object.fromEntries((secret.Tags ?? []).map(({ Key, Value }) => [Key, Value]));
  const tag = tags['keyturn:mirror'];
  if (tag === undefined || tags.managed_by !== 'agent-platform') return 'not-mirrored';
  const path = mirrorPath(tag, tags.agent_id ?? '');
  const owner = secret.ARN ?? secretId;

  const key = await vault.readMetadata(path);
  const custom = key?.custom ?? {};
  const claimedBy = custom.keyturn_secret;
  const stampedId = custom.keyturn_version_id;
  if (key && claimedBy !== owner) {
    throw new MirrorTakenError('The mirror path holds a key that this secret did not write');
  }

  const current = await secretsManager.send(
    new GetSecretValueCommand({ SecretId: secretId, VersionStage: 'AWSCURRENT' }),
  );
  const { VersionId: versionId, CreatedDate: createdAt } = current;
  if (!versionId || !createdAt) throw new StaleReadError('Secrets Manager gave no current version');
  const stampMatchesData = custom.keyturn_kv_version === String(key?.currentVersion);
  if (stampedId === versionId && stampMatchesData) return 'unchanged';

  const stampedAt = Date.parse(custom.keyturn_version_created_at ?? '');
  if (stampedId && stampedId !== versionId && stampedAt >= createdAt.getTime()) {
    const rolledBack =
      (secret.VersionIdsToStages?.[versionId] ?? []).includes('AWSCURRENT') &&
      (await hasLeftCurrent(stampedId, secretId, secretsManager, secret.VersionIdsToStages ?? {}));
    if (!rolledBack) throw new StaleReadError('What was read is older than what was mirrored');
  }

  const claim = { ...custom, keyturn_secret: owner };
  const data = objectOf(current.SecretString);
  if (!key) await vault.writeCustomMetadata(path, claim);
  const kvVersion = await vault.writeData(path, data, key?.currentVersion ?? 0);
  await vault.writeCustomMetadata(path, {
    ...claim,
    keyturn_version_id: versionId,
    keyturn_version_created_at: createdAt.toISOString(),
    keyturn_kv_version: String(kvVersion),
  });
  return 'written';
}

/** AWSPREVIOUS, or known and without any label. A version that isn't known shows nothing: the answer may be old. */
async function hasLeftCurrent(
  versionId: string,
  secretId: string,
  client: SecretsManagerClient,
  stages: Readonly<Record<string, readonly string[]>>,
): Promise<boolean> {
  const labels = stages[versionId];
  if (labels) return labels.includes('AWSPREVIOUS');
  const pages = paginateListSecretVersionIds({ client }, { SecretId: secretId, IncludeDeprecated: true });
  for await (const { Versions = [] } of pages) {
    const found = Versions.find((version) => version.VersionId === versionId);
    if (found) return (found.VersionStages ?? []).length === 0;
  }
  return false;
}

/** JSON.parse quotes its input in its message, so its error is dropped. */
function objectOf(text: string | undefined): Record<string, unknown> {
  const value = attempt(text ?? '');
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw new MirrorValueError('The secret is not a JSON object');
}

function attempt(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
