import type { Engine } from '../../../local/secrets-manager/engine.ts';
import type { Watched } from './oracle.ts';
import type { Random } from './random.ts';

const marginMs = 120_000;

/**
 * What somebody asks revoke-superseded for who calls it by hand: the end of the grace period that runs, or of any two versions.
 * Not in its last two minutes: Secrets Manager dates a rotation a little late, so that a call by hand may be a minute early.
 */
export async function earlyRequest(
  engine: Engine,
  { arn, order, superseded }: Watched & { readonly arn: string },
  now: number,
  random: Random,
): Promise<object | undefined> {
  const isAlmostOver = superseded.some(({ until }) => until > now && until - now < marginMs);
  const { Versions } = await engine.ListSecretVersionIds({ SecretId: arn, IncludeDeprecated: true });
  if (isAlmostOver || Versions.length < 2) return undefined;
  const [older, newer] = random.chance(0.5)
    ? [order.at(-2), order.at(-1)]
    : [random.pick(Versions).VersionId, random.pick(Versions).VersionId];
  return {
    secretArn: arn,
    supersededVersionId: older,
    currentVersionId: newer,
    rotationId: newer,
    graceEndsAt: new Date(now).toISOString(),
  };
}
