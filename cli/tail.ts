import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { Command } from 'commander';
import { type DeploymentFlags, onDeployment, openDeployment } from './deployment.ts';
import { plain } from './failure.ts';
import { type LiveEvent, watchBus } from './live-events.ts';
import { type Output, terminal } from './output.ts';
import { queues } from './queues.ts';
import { stopped } from './stop.ts';

/** `keyturn tail`: the events of the bus as they come, until Ctrl-C. */
export function tailCommand(): Command {
  return onDeployment(new Command('tail'))
    .description('Show events as they come: rotations, adoptions, revocations, findings; until Ctrl-C')
    .argument('[agents...]', 'of these agents only')
    .addHelpText(
      'after',
      `
A queue and a rule of its own are made for it, and taken away at the end. This needs sqs:CreateQueue, GetQueueAttributes,
ReceiveMessage, DeleteMessage, DeleteQueue, and events:PutRule, PutTargets, RemoveTargets,
DeleteRule. A process that was killed leaves both: their names begin with keyturn-tail-.

--json prints {time, type, detail} a line; detail is as events/ in Keyturn's repository has it.`,
    )
    .action(tail);
}

async function tail(agents: readonly string[], flags: DeploymentFlags): Promise<void> {
  const output = terminal();
  const stop = stopped();
  const { aws, output: outputOf } = await openDeployment(flags);
  const clients = { eventBridge: new EventBridgeClient(aws), sqs: queues(aws) };
  await using live = await watchBus(
    clients,
    outputOf('BusName'),
    agents.length > 0 ? { agentId: agents } : {},
  );
  output.say('Listening; Ctrl-C ends it.');
  while (!stop.aborted) {
    const { events, unknown } = await live.receive(20, stop).catch((error: unknown) => {
      if (stop.aborted) return { events: [], unknown: 0 };
      throw error;
    });
    for (const event of events) {
      if (flags.json) output.jsonLine(event);
      else output.print(lineOf(event, output.colors));
    }
    if (unknown > 0) output.say(`${unknown} event(s) of a kind that this version of keyturn does not know`);
  }
}

const saidOtherwise = new Set(['schemaVersion', 'secret', 'secretArn', 'agentId']);

/** @example '09:00:01  Rotation Started  agents/a/credentials  rotationId=6f1b...' */
export function lineOf({ time, type, detail }: LiveEvent, colors: Output['colors']): string {
  const rest = Object.entries(detail)
    .filter(([field]) => !saidOtherwise.has(field))
    .map(([field, value]) => `${field}=${value}`);
  const isBad = /Failed|Drift|Finding/.test(type);
  const shown = type.padEnd(18);
  return [
    colors.dim(time.slice('yyyy-mm-ddT'.length, 'yyyy-mm-ddThh:mm:ss'.length)),
    isBad ? colors.red(shown) : colors.green(shown),
    plain(String(detail.secret ?? '')),
    plain(rest.join(' ')),
  ].join('  ');
}
