import { setTimeout as pause } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { type DeploymentFlags, onDeployment, openDeployment } from './deployment.ts';
import { exit } from './exit.ts';
import { plain } from './failure.ts';
import { cellsOf, short, statusHead, unknownIn, until } from './fleet/format.ts';
import { type FleetReaders, fleetReaders, readFleet } from './fleet/read.ts';
import { needsAttention, rowsOf, type StatusRow } from './fleet/rows.ts';
import { type Output, terminal } from './output.ts';
import { stopped } from './stop.ts';
import { table } from './table.ts';

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
  const shown = { agents, flags, readers, output };
  if (!flags.watch) {
    process.exitCode = (await show(shown)) ? exit.attention : exit.done;
    return;
  }
  const stop = stopped();
  while (!stop.aborted) {
    if (!flags.json && process.stdout.isTTY) process.stdout.write('\u001b[2J\u001b[H');
    await show(shown);
    await pause(flags.interval * 1_000, undefined, { signal: stop }).catch(() => undefined);
  }
}

/** Gives whether a person should look. */
async function show({
  agents,
  flags,
  readers,
  output,
}: {
  agents: readonly string[];
  flags: StatusFlags;
  readers: FleetReaders;
  output: Output;
}): Promise<boolean> {
  const now = new Date();
  const facts = await output.during('Reading the fleet', () => readFleet(readers, agents, now));
  const rows = rowsOf(facts, now);
  const backends = 'fact' in facts.state ? facts.state.fact.backends : [];
  if (flags.json) {
    const document = { schemaVersion: 1, stage: flags.stage, at: now.toISOString(), backends, secrets: rows };
    if (flags.watch) output.jsonLine(document);
    else output.json(document);
  } else {
    output.print(
      table(
        statusHead(flags.fields),
        rows.map((row) => cellsOf(row, now, flags.fields, output.colors)),
      ),
    );
    if (agents.length > 0) printInstances(rows, now, output);
    for (const { backend, state, reason } of backends) {
      if (state !== 'healthy')
        output.print(output.colors.red(`${plain(backend)} is ${state}: ${plain(reason ?? '')}`));
    }
    if (rows.length === 0) output.say('No secret is tagged managed_by=agent-platform here.');
    for (const reason of unknownIn(rows, flags.fields)) output.say(`? ${reason}`);
  }
  return rows.some(needsAttention) || backends.some(({ state }) => state !== 'healthy');
}

function printInstances(rows: readonly StatusRow[], now: Date, output: Output): void {
  const instances = rows.flatMap(({ secret, adoption }) =>
    adoption.state === 'known' ? adoption.instances.map((each) => ({ secret, ...each })) : [],
  );
  if (instances.length === 0) return;
  output.print('');
  output.print(
    table(
      ['INSTANCE', 'SECRET', 'VERSION', 'SINCE'],
      instances.map(({ instance, secret, versionId, adoptedAt, isCurrent }) => [
        plain(instance),
        plain(secret),
        isCurrent ? short(versionId) : output.colors.yellow(`${short(versionId)} (not current)`),
        `${until(adoptedAt, now)} ago`,
      ]),
    ),
  );
}

function seconds(text: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number < 1) throw new InvalidArgumentError('Expected one second or more.');
  return number;
}
