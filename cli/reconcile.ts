import { Command } from 'commander';
import { type FleetReport, fleetReport } from '../functions/reconcile-fleet/answers.ts';
import { type AskReconciler, askReconciler } from './ask-reconciler.ts';
import { type DeploymentFlags, onDeployment } from './deployment.ts';
import { exit } from './exit.ts';
import { plain } from './failure.ts';
import { type Output, terminal } from './output.ts';

interface ReconcileFlags extends DeploymentFlags {
  readonly secret?: readonly string[];
  readonly dryRun: boolean;
}

/** `keyturn reconcile`: what the hourly run does, now. */
export function reconcileCommand(ask: AskReconciler = askReconciler, output: Output = terminal()): Command {
  const command = new Command('reconcile')
    .description('Find what drifted or got stuck in the fleet, and repair it')
    .option('--secret <id...>', 'only these secrets, by name or ARN')
    .option('--dry-run', 'only look: nothing is written, and nobody is told', false)
    .addHelpText(
      'after',
      `
The deployment's function does it, as it does each hour.

Exits with 3 where a finding needs a person (with --dry-run: where there is any), a secret could not be looked at, a
kind of finding not looked for, or time ran out. --json prints {schemaVersion, secrets, findings, unexamined, unexaminedKinds,
isFinished}.`,
    )
    .action(async (flags: ReconcileFlags) => {
      const report = await output.during('looking at the fleet', () => reconciled(flags, ask));
      if (flags.json) output.json({ schemaVersion: 1, ...report });
      else described(report, flags.dryRun, output);
      if (needsAttention(report, flags.dryRun)) process.exitCode = exit.attention;
    });
  return onDeployment(command);
}

/** The function stops before its time is over; asked again, it finds what is left. What a run repaired, the next finds no more. */
async function reconciled(flags: ReconcileFlags, ask: AskReconciler): Promise<FleetReport> {
  const { dryRun, secret: secrets } = flags;
  const request = { action: 'reconcile', dryRun, ...(secrets && { secrets }) };
  const repaired: FleetReport['findings'] = [];
  for (;;) {
    const answer = fleetReport.parse(await ask(flags, request));
    const done = answer.findings.filter(({ outcome }) => outcome === 'repaired');
    // Where nothing was repaired, asking again would bring no more.
    if (answer.isFinished || done.length === 0)
      return { ...answer, findings: [...repaired, ...answer.findings] };
    repaired.push(...done);
  }
}

function needsAttention(
  { findings, unexamined, unexaminedKinds, isFinished }: FleetReport,
  dryRun: boolean,
): boolean {
  const left = dryRun ? findings : findings.filter(({ outcome }) => outcome === 'needs a person');
  return left.length > 0 || unexamined.length > 0 || unexaminedKinds.length > 0 || !isFinished;
}

function described(
  { secrets, findings, unexamined, unexaminedKinds, isFinished }: FleetReport,
  dryRun: boolean,
  output: Output,
): void {
  const rows = findings.map(({ secret, kind, explanation, outcome }) => [
    plain(secret),
    plain(kind),
    dryRun && outcome === 'waiting' ? 'would be repaired' : outcome,
    plain(explanation),
  ]);
  if (rows.length > 0) output.table(['SECRET', 'FINDING', 'OUTCOME', 'WHY'], rows);
  output.say(`${secrets} secret(s) looked at, ${findings.length} finding(s)`);
  if (unexamined.length > 0)
    output.say(`could not be looked at: ${unexamined.map(plain).join(', ')}; the function's log says why`);
  if (unexaminedKinds.length > 0)
    output.say(`not looked for: ${unexaminedKinds.map(plain).join(', ')}; the function's log says why`);
  if (!isFinished) output.say('time ran out: run it again');
}
