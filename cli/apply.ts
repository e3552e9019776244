import { statSync } from 'node:fs';
import { Command } from 'commander';
import { DeclarationError } from '../shared/provisioning/declaration.ts';
import { readDeclarations } from '../shared/provisioning/read-files.ts';
import { type DeploymentFlags, onDeployment } from './deployment.ts';
import { asCalled } from './exit.ts';
import { type Output, terminal } from './output.ts';
import { type ConvergeFlags, converge } from './provisioning/converge.ts';
import { type OpenSystems, openSystems } from './provisioning/systems.ts';

/** `keyturn apply [FILE|DIR]`: shows what differs from the declarations, asks, and makes it so. */
export function applyCommand(open: OpenSystems = openSystems, output: Output = terminal()): Command {
  return onDeployment(new Command('apply'))
    .description('Make every system as the declarations say')
    .argument('[path]', 'a declaration, or a folder of them', 'agents')
    .option('--dry-run', 'only show what differs; exits with 3 where anything does', false)
    .option('-y, --yes', 'do not ask', false)
    .addHelpText(
      'after',
      `
The files are read whole before anything is touched: an unknown field, a wildcard, or two agents that share something
refuse them all. What was applied already and has no file stays: keyturn deprovision ends an agent. --json prints
{schemaVersion, agents: [{agentId, changes, notes, error, made, failed}]}.`,
    )
    .action((path: string, flags: DeploymentFlags & ConvergeFlags) => apply(path, flags, open, output));
}

async function apply(
  path: string,
  flags: DeploymentFlags & ConvergeFlags,
  open: OpenSystems,
  output: Output,
): Promise<void> {
  const fleet = await asCalled(() => readDeclarations(path), DeclarationError);
  const systems = await open(flags);
  await converge(fleet, systems, flags, output);
  if (!statSync(path).isDirectory()) return;
  const declared = new Set(fleet.map(({ agentId }) => agentId));
  for (const { declaration, phase } of (await systems.declarations.list()).known) {
    const { agentId } = declaration;
    if (declared.has(agentId)) continue;
    const state = phase === 'ending' ? 'is half deprovisioned' : `has no file in ${path}`;
    output.say(`${agentId} ${state}: keyturn deprovision agent ${agentId}`);
  }
}
