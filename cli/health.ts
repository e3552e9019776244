import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { Command } from 'commander';
import { listFleet } from '../shared/fleet/secrets.ts';
import { type DeploymentFlags, onDeployment, openDeployment } from './deployment.ts';
import { exit } from './exit.ts';
import { plain } from './failure.ts';
import { episodesIn } from './fleet/episodes.ts';
import { until } from './fleet/format.ts';
import { fleetState } from './fleet/state.ts';
import { terminal } from './output.ts';

/** `keyturn health`: each backend, and what on-call was told of and isn't over. */
export function healthCommand(): Command {
  return onDeployment(new Command('health'))
    .description('Show the state of each backend, and the alerts that are not over')
    .addHelpText(
      'after',
      '\nExits with 3 where something is open. --json prints {schemaVersion, stage, at, backends, open}.',
    )
    .action(health);
}

async function health(flags: DeploymentFlags): Promise<void> {
  const output = terminal();
  const deployment = await openDeployment(flags);
  const now = new Date();
  const [state, secrets] = await output.during('Reading the state', () =>
    Promise.all([
      fleetState(new DynamoDBClient(deployment.aws), deployment.output('StateTableName'), () => now),
      listFleet(new SecretsManagerClient(deployment.aws)),
    ]),
  );
  const open = episodesIn(state, secrets);
  const { backends } = state;
  const isWell = open.length === 0 && backends.every((each) => each.state === 'healthy');
  process.exitCode = isWell ? exit.done : exit.attention;
  if (flags.json) {
    output.json({ schemaVersion: 1, stage: flags.stage, at: now.toISOString(), backends, open });
    return;
  }
  const { colors } = output;
  const since = (instant: string | undefined) => (instant === undefined ? '' : `${until(instant, now)}`);
  output.table(
    ['BACKEND', 'STATE', 'FOR', 'PROBED', 'WHY'],
    backends.map((each) => [
      plain(each.backend),
      each.state === 'healthy' ? colors.green(each.state) : colors.red(each.state),
      since(each.since) || '-',
      each.probedAt === undefined ? '?' : `${since(each.probedAt)} ago`,
      plain(each.reason ?? '-'),
    ]),
  );
  if (backends.length === 0)
    output.say('No backend has been probed: look at check-backend-health with keyturn doctor.');
  if (open.length === 0) return;
  output.print('');
  output.table(
    ['OPEN', 'FOR', 'SECRETS'],
    open.map((each) => [
      colors.red(plain(each.kind)),
      since(each.since) || '?',
      each.secrets.slice(0, 3).map(plain).join(', ') + (each.count > 3 ? ` and ${each.count - 3} more` : ''),
    ]),
  );
}
