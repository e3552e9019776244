import { fleetReport } from '../../functions/reconcile-fleet/answers.ts';
import { mirrorsReport } from '../../functions/reconcile-mirrors/requests.ts';
import { keyturnCommand } from '../keyturn-command.ts';
import {
  everyGraceEnded,
  grantTooMuch,
  leaveOrphan,
  loseGraceSchedule,
  loseMirrorEvent,
  removeMirror,
  reviveLogin,
  rollBack,
  stickRotation,
  turnRotationOff,
  writeIntoMirror,
} from './drift.ts';
import { expectThat, type Tour } from './tour.ts';

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** Exit code 3: it worked, and a person should look. */
const attention = [3];

/** One drift of each kind and a stuck rotation, all at once: the fleet finds them, mends what it may, and says so once. */
export async function driftAndHeal(tour: Tour, declarations: string): Promise<void> {
  const { stack, fleet, say } = tour;
  const [billing, research, support] = fleet.map(({ agent }) => agent);
  if (!billing || !research || !support) throw new Error('The tour needs three agents');
  await everyGraceEnded(tour);
  say('everything drifts: a stuck rotation, a login let in again, a lost schedule, a grant too much');
  await reviveLogin(tour, research);
  await stickRotation(tour, billing);
  await loseGraceSchedule(tour, support);
  await grantTooMuch(tour, research);
  stack.secretsManager.clock.advance(20 * minuteMs);
  await heals(tour, ['rotation-stuck', 'superseded-still-valid', 'grace-schedule-lost', 'target-drifted']);

  say('and in Vault: a mirror written by hand, one removed, one that missed an event, one of nobody');
  await loseMirrorEvent(tour, billing);
  await writeIntoMirror(tour, research);
  await removeMirror(tour, support);
  await leaveOrphan(tour);
  await healsMirrors(tour, ['mirror-behind', 'mirror-changed-by-hand', 'mirror-missing', 'mirror-orphaned']);
  say('and a rotation is rolled back by hand, of which Vault hears nothing');
  await rollBack(tour, billing);
  await healsMirrors(tour, ['mirror-ahead']);

  say('a rotation is turned off, and Secrets Manager misses a month');
  await turnRotationOff(tour, research);
  {
    using _ = stack.secretsManager.holdSchedules();
    stack.secretsManager.clock.advance(33 * dayMs);
    await heals(tour, ['rotation-overdue']);
    await stack.secretsManager.engine.idle();
  }
  const apply = ['apply', declarations, '--yes'];
  await expectThat(tour, 'keyturn apply turns the rotation on again, and takes the tag back', async () => {
    await keyturn(tour, apply);
    return (await keyturn(tour, ['apply', declarations, '--dry-run'])) !== '';
  });
  await expectThat(tour, 'nothing is left to be found', async () => {
    const { findings } = fleetReport.parse(
      JSON.parse(await keyturn(tour, ['reconcile', '--json'], attention)),
    );
    const mirrors = mirrorsReport.parse(
      JSON.parse(await keyturn(tour, ['drift', '--repair', '--json'], attention)),
    );
    return findings.length === 0 && mirrors.findings.length === 0;
  });
  await expectThat(tour, 'each kind of finding alerted once, and once that it is over', async () => {
    const alerts = tour.feed.alerts.filter(({ backend }) => backend.startsWith('finding:'));
    const states = Object.values(Object.groupBy(alerts, ({ backend }) => backend));
    // A secret that joins an open episode is told of too.
    const isOne = (each: readonly { readonly state: string }[] = []) =>
      /^(found,)+recovered$/.test(each.map(({ state }) => state).join());
    return states.length === 11 && states.every(isOne);
  });
  for (const line of (await keyturn(tour, ['status'], attention)).trimEnd().split('\n')) say(line);
}

async function heals(tour: Tour, kinds: readonly string[]): Promise<void> {
  const { findings } = fleetReport.parse(JSON.parse(await keyturn(tour, ['reconcile', '--json'], attention)));
  for (const { kind, secret, explanation } of findings) tour.say(`${secret}: ${kind}: ${explanation}`);
  for (const kind of kinds) {
    const found = findings.filter((finding) => finding.kind === kind);
    const isHealed = found.length > 0 && found.every(({ outcome }) => outcome === 'repaired');
    await expectThat(tour, `${kind}: found and repaired`, async () => isHealed, 0);
  }
}

async function healsMirrors(tour: Tour, kinds: readonly string[]): Promise<void> {
  const { findings } = mirrorsReport.parse(
    JSON.parse(await keyturn(tour, ['drift', '--repair', '--json'], attention)),
  );
  for (const { kind, path, explanation } of findings) tour.say(`${path}: ${kind}: ${explanation}`);
  for (const kind of kinds) {
    const found = findings.filter((finding) => finding.kind === kind);
    const isHealed = found.length > 0 && found.every(({ outcome }) => outcome === 'repaired');
    await expectThat(tour, `${kind}: found and healed`, async () => isHealed, 0);
  }
}

async function keyturn(
  { stack }: Tour,
  words: readonly string[],
  expected: readonly number[] = [],
): Promise<string> {
  return (await keyturnCommand([...words, '--stage', 'local'], stack.environment, expected)).stdout;
}
