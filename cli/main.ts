import { Command } from 'commander';
import { agentCommand } from './agent.ts';
import { exit } from './exit.ts';

const program = new Command('keyturn')
  .description('Rotates the credentials of a fleet of AI agents without one failed request.')
  .addCommand(agentCommand());

for (const command of [program, ...program.commands]) {
  command.exitOverride((error) => process.exit(error.exitCode === 0 ? exit.done : exit.calledWrongly));
}

try {
  await program.parseAsync();
} catch (error) {
  // Our errors say what is wrong and hold no value; of others the class must do.
  const isOurs = error instanceof Error && error.constructor !== Error && !('$metadata' in error);
  console.error(`keyturn: ${isOurs ? error.message : error instanceof Error ? error.name : 'failed'}`);
  process.exitCode = exit.failed;
}
