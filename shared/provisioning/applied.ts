import type { Change, Planned } from './change.ts';
import { type Declaration, DeclarationError } from './declaration.ts';
import type { AppliedDeclarations, KnownDeclaration } from './declarations-state.ts';

/** Where it is noted what was declared. */
export interface AppliedParts {
  readonly declarations: AppliedDeclarations;
}

/**
 * Notes what an agent is declared to be, before anything is made so: a reconciler that comes meanwhile mends towards it. A run
 * that is killed right after leaves a note that the next one finds as it is.
 *
 * @throws DeclarationError where the agent is being deprovisioned, or would leave logins or a secret behind.
 */
export async function planApplied(declared: Declaration, { declarations }: AppliedParts): Promise<Planned> {
  const known = await declarations.read(declared.agentId);
  if (known) assertFollows(declared, known);
  // A new one is as its file says: to print it all would hide the rest of the plan.
  const diff = known ? differenceOf(known.declaration, declared) : [`+ ${declared.agentId}`];
  if (diff.length === 0) return { changes: [], notes: [] };
  return {
    changes: [
      {
        system: 'Keyturn',
        resource: `declaration of ${declared.agentId}`,
        action: known ? 'update' : 'create',
        diff,
        apply: () =>
          declarations.write({ revision: known?.revision ?? 0, phase: 'declared', declaration: declared }),
      },
    ],
    notes: [],
  };
}

/** Notes that an agent is going, before anything is taken from it: nothing of it is repaired from then on. */
export async function planEnding(
  { agentId }: Declaration,
  { declarations }: AppliedParts,
): Promise<readonly Change[]> {
  const known = await declarations.read(agentId);
  if (!known || known.phase === 'ending') return [];
  return [
    {
      system: 'Keyturn',
      resource: `declaration of ${agentId}`,
      action: 'update',
      diff: ['- declared', '+ being deprovisioned'],
      apply: () => declarations.write({ ...known, phase: 'ending' }),
    },
  ];
}

/** The last of an agent: while its note is there, a deprovisioning that was killed can be found and ended. */
export async function planForgetting(
  { agentId }: Declaration,
  { declarations }: AppliedParts,
): Promise<readonly Change[]> {
  if (!(await declarations.read(agentId))) return [];
  return [
    {
      system: 'Keyturn',
      resource: `declaration of ${agentId}`,
      action: 'delete',
      diff: [`- declaration of ${agentId}`],
      apply: () => declarations.forget(agentId),
    },
  ];
}

function assertFollows(next: Declaration, { declaration: before, phase }: KnownDeclaration): void {
  const way = `keyturn deprovision agent ${next.agentId}`;
  if (phase === 'ending')
    throw new DeclarationError(`agentId: it is being deprovisioned: end it with ${way}`);
  if (before.secret !== next.secret) {
    throw new DeclarationError(`secret: the agent's secret is called ${before.secret}: ${way} first`);
  }
  const held = before.postgres;
  const isLeft = (field: 'host' | 'port' | 'database') => held && held[field] !== next.postgres?.[field];
  if (isLeft('host') || isLeft('port') || isLeft('database')) {
    throw new DeclarationError(
      `postgres: the agent has logins on ${held?.host}:${held?.port}/${held?.database}: ${way} first`,
    );
  }
}

/** Fields that differ, each by its path. A declaration holds no secret. */
export function differenceOf(before: Declaration, next: Declaration): readonly string[] {
  const is = leavesOf(before);
  const wanted = leavesOf(next);
  return [
    ...[...is]
      .filter(([path, value]) => wanted.get(path) !== value)
      .map(([path, value]) => `- ${path}: ${value}`),
    ...[...wanted]
      .filter(([path, value]) => is.get(path) !== value)
      .map(([path, value]) => `+ ${path}: ${value}`),
  ];
}

function leavesOf(value: object, within = ''): ReadonlyMap<string, string> {
  const leaves = Object.entries(value).flatMap(([key, held]: [string, unknown]) => {
    const path = `${within}${key}`;
    if (held === undefined) return [];
    if (typeof held === 'object' && held !== null && !Array.isArray(held) && Object.keys(held).length > 0)
      return [...leavesOf(held, `${path}.`)];
    return [[path, JSON.stringify(held)] as const];
  });
  return new Map(leaves);
}
