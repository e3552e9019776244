import { Command, Option } from 'commander';
import { type MirrorsReport, mirrorsReport, releaseAnswer } from '../functions/reconcile-mirrors/requests.ts';
import { type AskReconciler, askMirrors } from './ask-reconciler.ts';
import { type DeploymentFlags, onDeployment } from './deployment.ts';
import { exit } from './exit.ts';
import { plain } from './failure.ts';
import { type Output, terminal } from './output.ts';

interface DriftFlags extends DeploymentFlags {
  readonly repair: boolean;
  readonly release?: string;
  readonly yes: boolean;
}

/**
 * `keyturn drift`: each mirror beside its secret. The deployment's function looks and writes: an operator needs no login to
 * Vault, and no right to read a secret.
 */
export function driftCommand(ask: AskReconciler = askMirrors, output: Output = terminal()): Command {
  const command = new Command('drift')
    .description('Show how the mirrors in Vault stand beside their secrets, and repair them')
    .option('--repair', 'heal what differs, as the hourly run does', false)
    .addOption(
      new Option(
        '--release <secret>',
        'overwrite what somebody wrote into the quarantined mirror of this secret',
      ).conflicts('repair'),
    )
    .option('-y, --yes', 'do not ask', false)
    .addHelpText(
      'after',
      '\nExits with 3 where a mirror differs, or needs a person, or could not be looked at. --json prints\n' +
        '{schemaVersion, mirrored, checked, isFinished, isVaultDown, inStep, findings}.',
    )
    .action((flags: DriftFlags) =>
      flags.release === undefined ? drift(flags, ask, output) : release(flags, flags.release, ask, output),
    );
  return onDeployment(command);
}

async function drift(flags: DriftFlags, ask: AskReconciler, output: Output): Promise<void> {
  const report = await output.during('looking at the mirrors', async () =>
    mirrorsReport.parse(await ask(flags, { action: 'reconcile', dryRun: !flags.repair })),
  );
  if (flags.json) output.json({ schemaVersion: 1, ...report });
  else described(report, output);
  const left = report.findings.filter(({ outcome }) => outcome !== 'repaired');
  process.exitCode = left.length > 0 || !report.isFinished ? exit.attention : exit.done;
}

async function release(flags: DriftFlags, secret: string, ask: AskReconciler, output: Output): Promise<void> {
  await output.confirm(`overwrite what was written by hand into the mirror of ${secret}?`, flags);
  const answer = await output.during('at work', async () =>
    releaseAnswer.parse(await ask(flags, { action: 'release', secret })),
  );
  if (flags.json) output.json({ schemaVersion: 1, ...answer });
  else output.print(`${plain(answer.secret)}: ${words[answer.outcome]}`);
  process.exitCode = inStep.includes(answer.outcome) ? exit.done : exit.attention;
}

type Outcome = ReturnType<typeof releaseAnswer.parse>['outcome'];

const inStep: readonly Outcome[] = ['written', 'stamped', 'unchanged'];
const words: Readonly<Record<Outcome, string>> = {
  written: 'its mirror holds the current version again',
  stamped: 'its mirror held the current value already',
  unchanged: 'its mirror was in step already',
  'not-mirrored': 'it has no mirror',
  'deletion-pending': 'it is scheduled for deletion, and its mirror stays as it is',
};

function described(
  { mirrored, checked, isFinished, isVaultDown, inStep, findings }: MirrorsReport,
  output: Output,
): void {
  const { colors } = output;
  const rows = [
    ...findings.map(({ secret, path, kind, outcome, explanation }) => [
      plain(secret),
      plain(path),
      outcome === 'repaired' ? colors.yellow(kind) : colors.red(kind),
      outcome === 'waiting' ? '--repair heals it' : outcome,
      plain(explanation),
    ]),
    ...inStep.map(({ secret, path }) => [plain(secret), plain(path), colors.green('in-step'), '-', '-']),
  ];
  if (rows.length > 0) output.table(['SECRET', 'MIRROR', 'STANDS', 'OUTCOME', 'WHY'], rows);
  output.say(`${checked} of ${mirrored} mirror(s) looked at, ${findings.length} finding(s)`);
  if (isVaultDown) output.say('Vault could not be reached: keyturn health');
  else if (!isFinished)
    output.say('not all could be looked at: run it again; the log of reconcile-mirrors says why');
}
