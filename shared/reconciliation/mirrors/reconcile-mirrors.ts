import pMap from 'p-map';
import { errorClassOf } from '../../observability/error-class.ts';
import { guarded, VaultGivenUpError } from '../../vault/breaker.ts';
import type { MirrorParts } from '../../vault/examine-mirror.ts';
import { type LookOptions, lookAtMirror } from './look-at-mirror.ts';
import type { MirrorFinding } from './mirror-finding.ts';
import { type MirroredSecret, mirroredSecrets } from './mirrored-secrets.ts';
import { keysBelow, lookAtOrphan } from './orphans.ts';

export interface MirrorsOptions extends LookOptions {
  /** What the ARNs of this deployment's secrets begin with. */
  readonly ownArns: string;
  /** Once true, no mirror is begun any more. */
  readonly isLate: () => boolean;
  readonly onFailure: (failure: { path: string; reason: string }) => void;
}

export interface MirrorsLook {
  /** All that are to be mirrored, in the order of their paths. */
  readonly mirrored: readonly MirroredSecret[];
  readonly findings: readonly MirrorFinding[];
  /** The ARNs of those about which there is a verdict. */
  readonly checked: ReadonlySet<string>;
  /** Whether Vault was gone through for mirrors of secrets that are gone. */
  readonly orphansChecked: boolean;
  readonly stopped?: 'vault' | 'late';
}

/** At a time: enough for ten thousand in a minute or two, and no stampede on a Vault that has just come back. */
const concurrency = 10;

/**
 * Compares every mirror with its secret and heals what differs; writes nothing where nothing does. It keeps no note of
 * its own: killed anywhere, repeated, or beside another run, the next one looks at what is there.
 *
 * A mirror that fails hinders no other. A Vault that is out of reach ends the run after a few calls. Where time runs out
 * before all were looked at, the next run begins elsewhere: runs begin at points that spread evenly over the fleet, so
 * that each mirror's turn comes, without a note of where the last one ended.
 */
export async function reconcileMirrors(parts: MirrorParts, options: MirrorsOptions): Promise<MirrorsLook> {
  const mirrored = await mirroredSecrets(parts.secretsManager);
  const run = { ...parts, vault: guarded(parts.vault) };
  const findings: MirrorFinding[] = [];
  const checked = new Set<string>();
  let stopped: MirrorsLook['stopped'];
  const each = async (path: string, look: () => Promise<void>) => {
    if (stopped === undefined && options.isLate()) stopped = 'late';
    if (stopped !== undefined) return;
    try {
      await look();
    } catch (error) {
      if (error instanceof VaultGivenUpError) stopped = 'vault';
      else options.onFailure({ path, reason: errorClassOf(error) });
    }
  };
  const hasMirror = (secretArn: string) =>
    checked.has(secretArn) &&
    findings.every((finding) => finding.secretArn !== secretArn || finding.outcome === 'repaired');
  const orphanAt = (path: string) => lookAtOrphan(path, run, { ...options, hasMirror });

  await pMap(
    fromHere(mirrored, options.now()),
    (secret) =>
      each(secret.path, async () => {
        let look = await lookAtMirror(secret, run, options);
        if (look.finding?.kind === 'mirror-taken') {
          // By the mirror of a secret that is gone, perhaps of the same name.
          const orphan = await orphanAt(secret.path);
          if (orphan) findings.push(orphan);
          if (orphan?.outcome === 'repaired') look = await lookAtMirror(secret, run, options);
        }
        if (look.isUnsettled) return;
        checked.add(secret.secretArn);
        if (look.finding) findings.push(look.finding);
      }),
    { concurrency },
  );

  const expected = new Set(mirrored.map(({ path }) => path));
  let listed: readonly string[] | undefined;
  await each('agents/', async () => {
    listed = await keysBelow(run.vault, 'agents/', concurrency);
  });
  await pMap(
    (listed ?? []).filter((path) => !expected.has(path)),
    (path) =>
      each(path, async () => {
        const orphan = await orphanAt(path);
        if (orphan) findings.push(orphan);
      }),
    { concurrency },
  );
  const orphansChecked = listed !== undefined && stopped === undefined;
  return { mirrored, findings, checked, orphansChecked, ...(stopped !== undefined && { stopped }) };
}

/** The same list, begun where this hour's turn is. Multiples of the golden ratio never come to lie close together. */
function fromHere<T>(list: readonly T[], now: Date): readonly T[] {
  const turn = (Math.floor(now.getTime() / 3_600_000) * 0.618_033_988_749_895) % 1;
  const start = Math.floor(turn * list.length);
  return [...list.slice(start), ...list.slice(0, start)];
}
