import { Argument, Command, InvalidArgumentError } from 'commander';
import { endPlannersOf } from '../shared/provisioning/converge.ts';
import { endAgent, planEnd } from '../shared/provisioning/end.ts';
import { type DeploymentFlags, onDeployment } from './deployment.ts';
import { CalledWronglyError, exit } from './exit.ts';
import { plain } from './failure.ts';
import { type Output, terminal } from './output.ts';
import { documentOf, failedDocument, failureOf, printPlan } from './provisioning/printing.ts';
import { type OpenSystems, openSystems } from './provisioning/systems.ts';

interface DeprovisionFlags extends DeploymentFlags {
  readonly recoveryDays: number;
  readonly withoutVault: boolean;
  readonly dryRun: boolean;
  readonly yes: boolean;
}

/** `keyturn deprovision agent NAME`: shows what there is to take, asks, and takes it, access first. */
export function deprovisionCommand(open: OpenSystems = openSystems, output: Output = terminal()): Command {
  return onDeployment(new Command('deprovision'))
    .description('Take everything from an agent, its access first')
    .addArgument(new Argument('<what>').choices(['agent']))
    .argument('<name>', "the agent's id")
    .option('--recovery-days <days>', 'how long its secret can be restored: 7 to 30', days, 30)
    .option('--without-vault', 'it never had access to Vault', false)
    .option('--dry-run', 'only show what there is to take; exits with 3 where there is anything', false)
    .option('-y, --yes', 'do not ask', false)
    .addHelpText(
      'after',
      `
In this order: rotation, its IAM policy, Vault (policy and login role, leases, tokens), logins and sessions of PostgreSQL; then
its secret and its roles. What the agent owns in the database is left to the role NAME_estate, which nobody can log in as. Killed or
failed, run it again: it does what is left.
--json prints {schemaVersion, agentId, made: [{system, resource, action, at}], failed: [{system, resource, error}]}.`,
    )
    .action((_what: string, name: string, flags: DeprovisionFlags) => deprovision(name, flags, open, output));
}

async function deprovision(
  agentId: string,
  flags: DeprovisionFlags,
  open: OpenSystems,
  output: Output,
): Promise<void> {
  const { json, dryRun, yes, recoveryDays, withoutVault } = flags;
  const systems = await open(flags);
  const known = await systems.declarations.read(agentId);
  if (!known) {
    throw new CalledWronglyError(`no agent ${plain(agentId)} was applied: there is nothing of it to take`);
  }
  if (!systems.vault && !withoutVault) {
    throw new CalledWronglyError(
      `what ${agentId} has in Vault must be cut: give VAULT_ADDR and VAULT_TOKEN, or say --without-vault`,
    );
  }
  const { declaration } = known;
  const planners = endPlannersOf({ ...systems, recoveryDays });
  if (dryRun || !yes) {
    const plan = await output.during('looking at what there is', () => planEnd(declaration, planners));
    if (json && dryRun) output.json(documentOf([plan], []));
    else if (!json) printPlan([plan], output);
    if (dryRun) {
      process.exitCode = plan.error === undefined ? exit.attention : exit.failed;
      return;
    }
  }
  await output.confirm(`End ${agentId}? Its access is cut at once, and it can't go on.`, { yes });
  const { made, failed } = await output.during('cutting its access', (say) =>
    endAgent(declaration, planners, { now: () => new Date(), told: ({ resource }) => say(plain(resource)) }),
  );
  if (json) output.json({ schemaVersion: 1, agentId, made, failed: failed.map(failedDocument) });
  else if (made.length > 0) {
    const rows = made.map(({ at, system, action, resource }) => [
      at.toISOString(),
      system,
      action === 'delete' ? 'cut' : 'noted',
      plain(resource),
    ]);
    output.table(['AT', 'SYSTEM', 'DONE', 'WHAT'], rows);
  }
  for (const each of failed) output.say(failureOf(agentId, each));
  if (failed.length === 0) {
    const { staticFields } = declaration;
    if (staticFields.length > 0)
      output.say(`revoke ${staticFields.join(', ')} where it was issued: Keyturn can't`);
    output.say(`delete the file of ${agentId}, or keyturn apply makes the agent again`);
    return;
  }
  output.say(`${agentId} is not gone yet: run the same command again when that is mended`);
  process.exitCode = exit.failed;
}

function days(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 7 || number > 30)
    throw new InvalidArgumentError('Expected 7 to 30.');
  return number;
}
