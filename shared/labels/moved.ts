import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { called } from '../secrets-manager/errors.ts';
import { type Change, changeOf } from './change.ts';
import { type DescribedSecret, describeSecret, listVersions } from './read.ts';
import { isManaged } from './tags.ts';

/** Secrets Manager doesn't show the label where the event says it is: its reads lag, or the event is forged. */
export class LabelNotSeenError extends Error {
  override readonly name = 'LabelNotSeenError';
  constructor() {
    super(
      'The version that the event names is not AWSCURRENT, nor known to have been: the event is to be delivered again',
    );
  }
}

export type Move =
  | { readonly outcome: 'ignored'; readonly reason: 'another label' | 'not managed' | 'stale' }
  | {
      readonly outcome: 'moved';
      readonly secret: DescribedSecret;
      readonly change: Extract<Change, { kind: 'rotated' | 'changed' }>;
    };

/** What an event "Secret Label Updated" means. The event is a hint only: what Secrets Manager says is the truth. */
export async function moveOf(
  client: SecretsManagerClient,
  event: {
    readonly secretArn: string;
    readonly label: string;
    readonly versionId: string;
    readonly movedAt: Date;
  },
): Promise<Move> {
  if (event.label !== 'AWSCURRENT') return { outcome: 'ignored', reason: 'another label' };
  const secret = await called('DescribeSecret', () => describeSecret(client, event.secretArn));
  if (!isManaged(secret.tags)) return { outcome: 'ignored', reason: 'not managed' };
  const { stages, lastRotatedAt, lastChangedAt } = secret;
  const versions = await called('ListSecretVersionIds', () => listVersions(client, event.secretArn));
  const change = changeOf(
    event.versionId,
    { stages, lastRotatedAt, lastChangedAt, ...versions },
    event.movedAt,
  );
  if (change.kind === 'unseen') throw new LabelNotSeenError();
  if (change.kind === 'stale') return { outcome: 'ignored', reason: 'stale' };
  return { outcome: 'moved', secret, change };
}
