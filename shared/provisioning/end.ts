import type { Declaration } from './declaration.ts';
import { type AgentPlan, type Failed, type Made, type Planner, planFleet } from './plan.ts';

/** What is taken from an agent that goes: what it gets in by, and then the rest. */
export interface EndPlanners {
  /** Each is tried, whatever became of the others: a database that is down must not leave Vault open. */
  readonly access: readonly Planner[];
  /** Begun when all access is cut. */
  readonly rest: readonly Planner[];
}

/** What was taken from an agent. It is gone where nothing `failed`; else the next run does what is left. */
export interface EndOutcome {
  readonly agentId: string;
  /** What was cut, and when. */
  readonly made: readonly Made[];
  readonly failed: readonly Failed[];
}

/** What there is to take from an agent, to be shown before it is done. Only reads. */
export async function planEnd(declaration: Declaration, { access, rest }: EndPlanners): Promise<AgentPlan> {
  const [plan] = await planFleet([declaration], [...access, ...rest]);
  return plan ?? { agentId: declaration.agentId, changes: [], notes: [] };
}

/**
 * Takes everything from an agent, its access first. Each system is looked at when its turn has come, so a run after one that was
 * killed or failed does what is left, and one after the last finds nothing.
 */
export async function endAgent(
  declaration: Declaration,
  { access, rest }: EndPlanners,
  { now, told = () => undefined }: { readonly now: () => Date; readonly told?: (made: Made) => void },
): Promise<EndOutcome> {
  const made: Made[] = [];
  const failed: Failed[] = [];
  const take = async (planner: Planner) => {
    let at: Pick<Failed, 'system' | 'resource'> | undefined;
    try {
      for (const change of (await planner(declaration)).changes) {
        at = change;
        const { system, resource, action } = change;
        await change.apply();
        const done = { system, resource, action, at: now() };
        made.push(done);
        told(done);
      }
    } catch (error) {
      failed.push({ system: at?.system, resource: at?.resource ?? 'what there is to cut', error });
    }
  };
  for (const planner of access) await take(planner);
  for (const planner of rest) {
    if (failed.length > 0) break;
    await take(planner);
  }
  return { agentId: declaration.agentId, made, failed };
}
