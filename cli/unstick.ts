import { Command, Option } from 'commander';
import { type UnstickAnswer, unstickAnswer } from '../functions/reconcile-fleet/answers.ts';
import { type AskReconciler, askReconciler } from './ask-reconciler.ts';
import { type DeploymentFlags, onDeployment } from './deployment.ts';
import { exit } from './exit.ts';
import { plain } from './failure.ts';
import { type Output, terminal } from './output.ts';

interface UnstickFlags extends DeploymentFlags {
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly complete?: true;
  readonly abandon?: true;
}

/** `keyturn unstick SECRET`: says what one rotation is stuck at, asks, and ends it. */
export function unstickCommand(ask: AskReconciler = askReconciler, output: Output = terminal()): Command {
  const command = new Command('unstick')
    .description('Explain what a rotation is stuck at, and end it')
    .argument('<secret>', 'its name or ARN')
    .addOption(new Option('--complete', 'take the rotation to its end').conflicts('abandon'))
    .option('--abandon', 'let the pending version go; the next rotation begins where rotation is on')
    .option('--dry-run', 'only explain', false)
    .option('-y, --yes', 'do not ask', false)
    .addHelpText(
      'after',
      `
Without --complete or --abandon it does what it advises, once you said yes.

Exits with 3 where the rotation stays as it is: with --dry-run, or where it could not be ended. --json prints
{schemaVersion, secret, isStuck, versionId, since, cause, explanation, suggestion, outcome, more}.`,
    )
    .action((secret: string, flags: UnstickFlags) => unstuck(secret, flags, ask, output));
  return onDeployment(command);
}

async function unstuck(
  secret: string,
  flags: UnstickFlags,
  ask: AskReconciler,
  output: Output,
): Promise<void> {
  const asked = async (how: 'explain' | 'complete' | 'abandon') =>
    unstickAnswer.parse(await ask(flags, { action: 'unstick', secret, how }));
  const print = (answer: UnstickAnswer) =>
    flags.json ? output.json({ schemaVersion: 1, ...answer }) : output.print(described(answer));
  const found = await output.during('looking at it', () => asked('explain'));
  if (!found.isStuck) return print(found);
  if (flags.dryRun) {
    print(found);
    process.exitCode = exit.attention;
    return;
  }
  const how = flags.complete ? 'complete' : flags.abandon ? 'abandon' : (found.suggestion ?? 'complete');
  if (!flags.yes) output.say(described(found));
  await output.confirm(`${how} the rotation of ${found.secret}?`, { yes: flags.yes });
  const done = await output.during('at work', () => asked(how));
  print(done);
  if (done.isStuck && done.outcome !== 'repaired') process.exitCode = exit.attention;
}

function described(answer: UnstickAnswer): string {
  const { isStuck, versionId, since, suggestion, outcome, more = [] } = answer;
  const secret = plain(answer.secret);
  if (!isStuck) return `${secret}: no rotation is incomplete`;
  const became = plain([outcome, ...more].join('; '));
  return [
    `${secret}: the rotation to version ${versionId} is incomplete since ${since}`,
    `  why      ${plain(answer.explanation ?? '')}`,
    outcome === undefined ? `  advice   --${suggestion}` : `  outcome  ${became}`,
  ].join('\n');
}
