import type { AgentOutcome, AgentPlan, Failed, Made } from '../../shared/provisioning/plan.ts';
import { plain, sentenceOf } from '../failure.ts';
import type { Output } from '../output.ts';

/** A plan for a person: each change with what it takes away and adds. */
export function printPlan(plans: readonly AgentPlan[], output: Output): void {
  const { bold, red, green, yellow } = output.colors;
  for (const { agentId, changes, notes, error } of plans) {
    if (changes.length + notes.length === 0 && error === undefined) continue;
    output.print(bold(agentId));
    if (error !== undefined) output.print(`  ${red("can't be planned")}: ${sentenceOf(error)}`);
    for (const { system, resource, action, diff } of changes) {
      output.print(`  ${action} ${resource} (${system})`);
      for (const line of diff) {
        const shown = plain(line);
        const painted = line.startsWith('+')
          ? green(shown)
          : line.startsWith('-')
            ? red(shown)
            : `  ${shown}`;
        output.print(`    ${painted}`);
      }
    }
    for (const note of notes) output.print(`  ${yellow('to do')}: ${plain(note)}`);
  }
}

export const saidOf = (agentId: string, { action, resource, system }: Made): string =>
  `${agentId}: ${{ create: 'created', update: 'updated', delete: 'deleted' }[action]} ${plain(resource)} (${system})`;

export const failureOf = (agentId: string, { system, resource, error }: Failed): string =>
  `${agentId}: ${plain(resource)}${system === undefined ? '' : ` (${system})`}: ${sentenceOf(error)}`;

/** A plan and what became of it, for a machine. */
export function documentOf(
  plans: readonly AgentPlan[],
  outcomes: readonly AgentOutcome[],
): { readonly schemaVersion: 1; readonly agents: readonly object[] } {
  const agents = plans.map(({ agentId, changes, notes, error }) => {
    const outcome = outcomes.find((each) => each.agentId === agentId);
    return {
      agentId,
      changes: changes.map(({ system, resource, action, diff }) => ({ system, resource, action, diff })),
      notes,
      ...(error !== undefined && { error: sentenceOf(error) }),
      ...(outcome && { made: outcome.made }),
      ...(outcome?.failed && { failed: failedDocument(outcome.failed) }),
    };
  });
  return { schemaVersion: 1, agents };
}

export const failedDocument = ({ system, resource, error }: Failed) => ({
  ...(system !== undefined && { system }),
  resource,
  error: sentenceOf(error),
});
