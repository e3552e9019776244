import pMap from 'p-map';
import type { Change, Planned, System } from './change.ts';
import type { Declaration } from './declaration.ts';

/** Looks at one system for one agent. Only reads. */
export type Planner = (declaration: Declaration) => Promise<Planned>;

/** What there is to do for one agent, in the order in which it is done. */
export interface AgentPlan extends Planned {
  readonly agentId: string;
  /** Why the agent can't be planned; the others can. */
  readonly error?: unknown;
}

/** A change that was made. */
export interface Made {
  readonly system: System;
  readonly resource: string;
  readonly action: Change['action'];
  readonly at: Date;
}

/** A change that failed; undefined where a system couldn't even be looked at. */
export interface Failed {
  readonly system: System | undefined;
  readonly resource: string;
  readonly error: unknown;
}

/** What became of one agent's plan. */
export interface AgentOutcome {
  readonly agentId: string;
  readonly made: readonly Made[];
  /** The changes after it weren't begun. */
  readonly failed?: Failed;
}

/** Agents that are looked at at the same time: one server takes as many connections. */
const atOnce = 8;
/** And changed: agents of one database wait for each other, and none for long. */
const changedAtOnce = 4;

/** Makes a planner of changes only. */
export const noting =
  (planner: (declaration: Declaration) => Promise<readonly Change[]>): Planner =>
  async (declaration) => ({ changes: await planner(declaration), notes: [] });

/**
 * What each agent needs, over all systems, in the order of the planners. An agent that can't be looked at stops no other: why it
 * can't is its plan's `error`, and nothing is thrown.
 *
 * @example
 * const plans = await planFleet(await readDeclarations('agents'), plannersOf(parts));
 * const outcomes = await applyPlan(plans, { now: () => new Date() });
 */
export async function planFleet(
  fleet: readonly Declaration[],
  planners: readonly Planner[],
): Promise<readonly AgentPlan[]> {
  return pMap(fleet, (declaration) => planAgent(declaration, planners), { concurrency: atOnce });
}

async function planAgent(declaration: Declaration, planners: readonly Planner[]): Promise<AgentPlan> {
  const { agentId } = declaration;
  const changes: Change[] = [];
  const notes: string[] = [];
  try {
    for (const planner of planners) {
      const planned = await planner(declaration);
      changes.push(...planned.changes);
      notes.push(...planned.notes);
    }
    return { agentId, changes, notes };
  } catch (error) {
    return { agentId, changes: [], notes, error };
  }
}

/**
 * Makes the changes of each agent in their order. An error stops its agent, whose next changes rely on it, and no other. Run
 * again, or after it was killed anywhere, a new plan holds what is left to do.
 *
 * @param told of each change that was made, at once: a run that is killed has then said what it did.
 */
export async function applyPlan(
  plans: readonly AgentPlan[],
  {
    now,
    told = () => undefined,
  }: { readonly now: () => Date; readonly told?: (agentId: string, made: Made) => void },
): Promise<readonly AgentOutcome[]> {
  return pMap(
    plans.filter(({ error }) => error === undefined),
    async ({ agentId, changes }): Promise<AgentOutcome> => {
      const made: Made[] = [];
      for (const change of changes) {
        const { system, resource, action } = change;
        try {
          await change.apply();
        } catch (error) {
          return { agentId, made, failed: { system, resource, error } };
        }
        const done = { system, resource, action, at: now() };
        made.push(done);
        told(agentId, done);
      }
      return { agentId, made };
    },
    { concurrency: changedAtOnce },
  );
}
