import { plannersOf, type SystemParts } from '../../shared/provisioning/converge.ts';
import { type Declaration, DeclarationError } from '../../shared/provisioning/declaration.ts';
import { refuseSharing } from '../../shared/provisioning/fleet.ts';
import { applyPlan, planFleet } from '../../shared/provisioning/plan.ts';
import { asCalled, exit } from '../exit.ts';
import type { Output } from '../output.ts';
import { documentOf, failureOf, printPlan, saidOf } from './printing.ts';
import { assertVault } from './systems.ts';

export interface ConvergeFlags {
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly yes: boolean;
}

/** Plans, shows, asks and applies. Nothing is written before the answer. */
export async function converge(
  fleet: readonly Declaration[],
  systems: SystemParts,
  { json, dryRun, yes }: ConvergeFlags,
  output: Output,
): Promise<void> {
  assertVault(fleet, systems);
  if (!systems.vault && fleet.some(({ mirror }) => mirror)) {
    output.say('Vault is not looked at: VAULT_ADDR and VAULT_TOKEN are not both given');
  }
  const { known, unreadable } = await systems.declarations.list();
  const ids = new Set(fleet.map(({ agentId }) => agentId));
  const others = known.filter(({ declaration }) => !ids.has(declaration.agentId));
  const all = [...fleet, ...others.map(({ declaration }) => declaration)];
  await asCalled(() => refuseSharing(all), DeclarationError);
  for (const agentId of unreadable)
    output.say(`what ${agentId} was declared to be can't be read: apply its file`);

  const plans = await output.during('looking at what is there', () => planFleet(fleet, plannersOf(systems)));
  const changes = plans.flatMap((plan) => plan.changes).length;
  const isFailing = plans.some(({ error }) => error !== undefined);
  if (!json) printPlan(plans, output);
  if (dryRun || changes === 0) {
    if (json) output.json(documentOf(plans, []));
    else if (changes === 0 && !isFailing) output.print('nothing differs');
    process.exitCode = isFailing ? exit.failed : changes > 0 ? exit.attention : exit.done;
    return;
  }
  const agents = plans.filter((plan) => plan.changes.length > 0).length;
  await output.confirm(`Make ${counted(changes, 'change')} to ${counted(agents, 'agent')}?`, { yes });
  const outcomes = await output.during('making it so', () =>
    applyPlan(plans, { now: () => new Date(), told: (agentId, made) => output.say(saidOf(agentId, made)) }),
  );
  if (json) output.json(documentOf(plans, outcomes));
  for (const { agentId, failed } of outcomes) if (failed) output.say(failureOf(agentId, failed));
  if (isFailing || outcomes.some(({ failed }) => failed)) process.exitCode = exit.failed;
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;
