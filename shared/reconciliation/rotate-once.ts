import { createHash } from 'node:crypto';
import {
  InvalidRequestException,
  ResourceExistsException,
  RotateSecretCommand,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import type { LabelFacts } from '../labels/change.ts';
import { called } from '../secrets-manager/errors.ts';

/**
 * Begins the rotation that follows a version. Its token is derived from that version, so that two reconcilers at the same
 * time, or one that was killed and runs again, ask for one and the same rotation: two in a row would end a login that agents
 * still hold. A token whose rotation was abandoned is used up, and the next of the row is taken.
 */
export async function rotateOnce(
  client: SecretsManagerClient,
  secretArn: string,
  currentVersionId: string,
  createdAt: LabelFacts['createdAt'],
): Promise<'begun' | 'under way'> {
  return begin(client, secretArn, unused(secretArn, currentVersionId, createdAt));
}

/** Has Secrets Manager attempt an incomplete rotation again, all of its steps, and note its end. It does so at any such call. */
export async function attemptAgain(
  client: SecretsManagerClient,
  secretArn: string,
  pendingVersionId: string,
): Promise<void> {
  await begin(client, secretArn, pendingVersionId);
}

function begin(
  client: SecretsManagerClient,
  secretArn: string,
  token: string,
): Promise<'begun' | 'under way'> {
  return called('RotateSecret', async () => {
    try {
      await client.send(new RotateSecretCommand({ SecretId: secretArn, ClientRequestToken: token }));
      return 'begun';
    } catch (error) {
      // Another rotation has begun, or this very one.
      if (error instanceof InvalidRequestException || error instanceof ResourceExistsException)
        return 'under way';
      throw error;
    }
  });
}

function unused(secretArn: string, versionId: string, createdAt: LabelFacts['createdAt']): string {
  for (let index = 0; ; index += 1) {
    const token = tokenAfter(secretArn, versionId, index);
    if (!Object.hasOwn(createdAt, token)) return token;
  }
}

function tokenAfter(secretArn: string, versionId: string, index: number): string {
  const hex = createHash('sha256').update(`${secretArn}\n${versionId}\n${index}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  );
}
