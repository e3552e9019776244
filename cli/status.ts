import { setTimeout as pause } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { type DeploymentFlags, onDeployment, openDeployment } from './deployment.ts';
import { exit } from './exit.ts';
import { plain, sentenceOf } from './failure.ts';
import { cellsOf, short, statusHead, unknownIn, until } from './fleet/format.ts';
import { type FleetReaders, fleetReaders, readFleet } from './fleet/read.ts';
import { needsAttention, rowsOf, type StatusRow } from './fleet/rows.ts';
import type { BackendHealth } from './fleet/state.ts';
import { type Output, terminal } from './output.ts';
import { stopped } from './stop.ts';

interface StatusFlags extends DeploymentFlags {
  readonly watch: boolean;
  readonly interval: number;
  readonly fields: boolean;
}

/** `keyturn status`: the fleet as a table, once or until Ctrl-C. */
export function statusCommand(): Command {
  return onDeployment(new Command('status'))
    .description('Show the fleet as a table: a row a secret, without its value')
    .argument('[agents...]', 'these agents only, and each of their instances')
    .option('--watch', 'show it again until Ctrl-C', false)
    .option('--interval <seconds>', 'how often with --watch', seconds, 5)
    .option('--fields', 'name static fields too; this reads the values, and needs the right to', false)
    .addHelpText(
      'after',
      `
Columns: AGE since the last rotation, or since it was made. NEXT by when Secrets Manager rotates it. ADOPTED how many of
the instances that were heard of use the current version. MIRROR, with VAULT_ADDR and VAULT_TOKEN set, whether
Vault's copy is of it. GRACE while the login before still works. A ? can't be known; stderr says why.

Exits with 3 where a secret has a problem. --json prints {schemaVersion, stage, at, backends, secrets}.`,
    )
    .action(status);
}

async function status(agents: readonly string[], flags: StatusFlags): Promise<void> {
  const output = terminal();
  const deployment = await openDeployment(flags);
  const readers = await fleetReaders(deployment, { withFields: flags.fields });
  const shown: Shown = { agents, flags, readers, output };
  if (!flags.watch) {
    const view = await output.during('Reading the fleet', () => read(shown));
    draw(view, shown);
    process.exitCode = needsAPerson(view) ? exit.attention : exit.done;
    return;
  }
  await watch(shown, stopped());
}

/** Until Ctrl-C. What is still being read then is let go: nothing is to be tidied. */
async function watch(shown: Shown, stop: AbortSignal): Promise<void> {
  const { flags, output } = shown;
  stop.addEventListener('abort', () => process.exit(exit.done));
  let isFirst = true;
  for (;;) {
    // Read before the screen is cleared, and without a spinner on it: it would be empty half of the time.
    const view = await read(shown).catch((error: unknown) => {
      if (isFirst) throw error;
      return sentenceOf(error);
    });
    isFirst = false;
    if (typeof view === 'string') output.say(`${view}; trying again`);
    else {
      if (!flags.json) output.clear();
      draw(view, shown);
    }
    await pause(flags.interval * 1_000);
  }
}

interface Shown {
  readonly agents: readonly string[];
  readonly flags: StatusFlags;
  readonly readers: FleetReaders;
  readonly output: Output;
}

interface View {
  readonly now: Date;
  readonly rows: readonly StatusRow[];
  readonly backends: readonly BackendHealth[];
}

async function read({ agents, readers }: Shown): Promise<View> {
  const now = new Date();
  const facts = await readFleet(readers, agents, now);
  return { now, rows: rowsOf(facts, now), backends: 'fact' in facts.state ? facts.state.fact.backends : [] };
}

const needsAPerson = ({ rows, backends }: View): boolean =>
  rows.some(needsAttention) || backends.some(({ state }) => state !== 'healthy');

function draw({ now, rows, backends }: View, { agents, flags, output }: Shown): void {
  if (flags.json) {
    const document = { schemaVersion: 1, stage: flags.stage, at: now.toISOString(), backends, secrets: rows };
    if (flags.watch) output.jsonLine(document);
    else output.json(document);
    return;
  }
  output.table(
    statusHead(flags.fields),
    rows.map((row) => cellsOf(row, now, flags.fields, output.colors)),
  );
  if (agents.length > 0) printInstances(rows, now, output);
  for (const { backend, state, reason } of backends) {
    if (state !== 'healthy')
      output.print(output.colors.red(`${plain(backend)} is ${state}: ${plain(reason ?? '')}`));
  }
  if (rows.length === 0) output.say('No secret is tagged managed_by=agent-platform here.');
  for (const reason of unknownIn(rows, flags.fields)) output.say(`? ${reason}`);
}

function printInstances(rows: readonly StatusRow[], now: Date, output: Output): void {
  const instances = rows.flatMap(({ secret, adoption }) =>
    adoption.state === 'known' ? adoption.instances.map((each) => ({ secret, ...each })) : [],
  );
  if (instances.length === 0) return;
  output.print('');
  output.table(
    ['INSTANCE', 'SECRET', 'VERSION', 'SINCE'],
    instances.map(({ instance, secret, versionId, adoptedAt, isCurrent }) => [
      plain(instance),
      plain(secret),
      isCurrent ? short(versionId) : output.colors.yellow(`${short(versionId)} (not current)`),
      `${until(adoptedAt, now)} ago`,
    ]),
  );
}

function seconds(text: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number < 1) throw new InvalidArgumentError('Expected one second or more.');
  return number;
}
