import type { FleetSecret } from '../fleet/secrets.ts';
import { versionWith } from '../labels/stages.ts';
import type { TargetLogin } from '../rotators/rotator.ts';

export interface SupersededLogin {
  readonly secret: FleetSecret;
  /** What the target takes besides the login in use. */
  readonly login: string;
}

/**
 * The logins that targets take though a rotation superseded them. A target says of each login whose version it holds, so one
 * list of secrets and one of logins tell it, without reading a value or trying a password: beside the login that holds a
 * secret's current version, its group has no other but the one of a rotation under way.
 */
export function supersededLogins(
  fleet: readonly FleetSecret[],
  logins: readonly TargetLogin[],
): { readonly superseded: readonly SupersededLogin[]; readonly seen: ReadonlySet<string> } {
  const byCurrent = new Map(fleet.map((secret) => [versionWith('AWSCURRENT', secret), secret]));
  const byGroup = Map.groupBy(logins, ({ server, group }) => `${server} ${group}`);
  const superseded: SupersededLogin[] = [];
  const seen = new Set<string>();
  for (const twins of byGroup.values()) {
    for (const keeper of twins) {
      const secret = keeper.versionId === undefined ? undefined : byCurrent.get(keeper.versionId);
      if (!secret) continue;
      seen.add(secret.arn);
      const kept = [keeper.versionId, versionWith('AWSPENDING', secret)];
      for (const { name, versionId } of twins) {
        if (versionId !== undefined && kept.includes(versionId)) continue;
        superseded.push({ secret, login: name });
      }
    }
  }
  return { superseded, seen };
}
