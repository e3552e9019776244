import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { Command } from 'commander';
import { type CommandEntry, commands } from './commands.ts';
import { exit } from './exit.ts';

const examples = `
Examples:
  keyturn status --stage prod                  the fleet as a table
  keyturn status billing-7 --json              one agent, for a machine
  keyturn rotate agents/billing-7/credentials  rotate now
  keyturn <command> --help                     what a command takes

Exit codes:
  0    all is as it was asked to be
  1    it failed; one sentence on stderr says why
  2    it was called wrongly, or wasn't told --yes where nobody can be asked; nothing was changed
  3    it worked, and a person should look: a difference, a finding, a problem
  130  it was interrupted

Results go to stdout, everything else to stderr. Environment: KEYTURN_STAGE, AWS_REGION, AWS_PROFILE and
what else the AWS CLI knows; NO_COLOR turns colours off.`;

/**
 * The program, with the command that is called loaded in full and of each other no more than its name and summary: to
 * import them all would take longer than most of them run. Flags may stand before the command, as in
 * `keyturn --stage prod status`.
 */
export async function programFor(
  args: readonly string[],
): Promise<{ readonly program: Command; readonly args: readonly string[] }> {
  const program = new Command('keyturn')
    .description('Rotates the credentials of a fleet of AI agents without one failed request.')
    .version(packageVersion(), '--version', 'print the version')
    .addHelpText('after', examples);
  const called = calledOf(args);
  const wanted = called === 'help' ? calledOf(args.slice(args.indexOf(called) + 1)) : called;
  // The shell asks `complete -- WORDS`, which needs every command's flags.
  const isCompletion = called === 'completion' || called === 'complete';
  for (const entry of commands) {
    program.addCommand(isCompletion || entry.name === wanted ? await loaded(entry) : named(entry));
  }
  if (isCompletion) {
    const { default: tab } = await import('@bomb.sh/tab/commander');
    tab(program, { completionCommandName: 'completion' });
  } else {
    program.addCommand(new Command('completion').description('Print what makes a shell complete keyturn'));
  }
  endsCalledWrongly(program);
  return { program, args: commandFirst(args, called) };
}

/** The package's file is at another distance from what is built than from the sources. */
function packageVersion(): string {
  const file = findPackageJSON('..', import.meta.url);
  const { version }: { readonly version: string } = JSON.parse(readFileSync(file ?? 'package.json', 'utf8'));
  return version;
}

async function loaded(entry: CommandEntry): Promise<Command> {
  return (await entry.load()).summary(entry.summary);
}

const named = ({ name, summary }: CommandEntry): Command => new Command(name).description(summary);

const before = new Set(['--stage', '--region', '--profile']);

/** The first word that is neither a flag nor the value of one that may stand before the command. */
function calledOf(args: readonly string[]): string | undefined {
  return args.find((word, index) => !word.startsWith('-') && !before.has(args[index - 1] ?? ''));
}

/** `help` and `--help` without a command stay as they are. */
function commandFirst(args: readonly string[], called: string | undefined): readonly string[] {
  if (called === undefined) return args;
  const at = args.findIndex((word, index) => word === called && !before.has(args[index - 1] ?? ''));
  return [called, ...args.slice(0, at), ...args.slice(at + 1)];
}

function endsCalledWrongly(command: Command): void {
  command.exitOverride((error) => process.exit(error.exitCode === 0 ? exit.done : exit.calledWrongly));
  for (const each of command.commands) endsCalledWrongly(each);
}
