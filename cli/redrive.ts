import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { Command } from 'commander';
import { DeploymentError, type DeploymentFlags, onDeployment, openDeployment } from './deployment.ts';
import { shortName } from './doctor/check.ts';
import { exit } from './exit.ts';
import { plain } from './failure.ts';
import { terminal } from './output.ts';
import { queues } from './queues.ts';
import { redriveCalls, redriveMessages } from './redrive/redrive.ts';
import { stackResources } from './stack-resources.ts';

/** `keyturn redrive`: what rules, schedules, functions and the mirrors' queue gave up is delivered again. */
export function redriveCommand(): Command {
  return onDeployment(new Command('redrive'))
    .description('Deliver what was given up again, once its cause is mended')
    .addHelpText(
      'after',
      `
A message leaves the dead letters only when its function has taken it; what fails again is kept, and told with the class
of the error. Mirrors' messages go back into their queue. Nothing is harmed by an event that comes late or twice.

Exits with 3 where a message is kept. --json prints {schemaVersion, stage, at, messages: [{for, cause, outcome, why}]}.`,
    )
    .action(redrive);
}

async function redrive(flags: DeploymentFlags): Promise<void> {
  const output = terminal();
  const { aws, stage } = await openDeployment(flags);
  const sqs = queues(aws);
  // Its answer may take as long as the function may run; asked twice, it would run twice.
  const lambda = new LambdaClient({ ...aws, maxAttempts: 1 });
  const messages = await output.during('Delivering again', async () => {
    const resources = await stackResources(new CloudFormationClient(aws), `keyturn-${stage}`);
    const url = (logicalId: string) => {
      const queue = resources.find((each) => each.logicalId === logicalId);
      if (!queue) throw new DeploymentError(`the stack has no queue ${logicalId}: deploy this version`);
      return queue.physicalId;
    };
    const names = resources.flatMap(({ type, physicalId }) =>
      type === 'AWS::Lambda::Function' ? [physicalId] : [],
    );
    const mirrors = { url: url('MirrorQueue'), name: 'sync-vault-mirror' };
    const called = await redriveCalls(sqs, lambda, url('DeadLetters'), new Set(names));
    const moved = await redriveMessages(sqs, url('MirrorDeadLetters'), mirrors);
    return [...called, ...moved].map((each) => ({ ...each, for: shortName({ stage }, each.for) }));
  });
  const isKept = messages.some(({ outcome }) => outcome === 'kept');
  process.exitCode = isKept ? exit.attention : exit.done;
  if (flags.json) {
    output.json({ schemaVersion: 1, stage, at: new Date().toISOString(), messages });
    return;
  }
  if (messages.length === 0) return output.say('There are no dead letters.');
  const { green, red } = output.colors;
  const rows = messages.map(({ for: whom, cause, outcome, why }) => [
    plain(whom),
    plain(cause),
    outcome === 'kept' ? red(outcome) : green(outcome),
    plain(why ?? '-'),
  ]);
  output.table(['FOR', 'GIVEN UP', 'NOW', 'WHY'], rows);
}
