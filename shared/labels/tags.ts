import type { Strategy } from '../rotators/rotator.ts';

/** A tag of the secret is missing or can't be read. Names the tag, never what it holds. */
export class SecretTagError extends Error {
  override readonly name = 'SecretTagError';
  readonly tag: string;
  constructor(tag: string, expected: string) {
    super(`Tag ${tag}: expected ${expected}`);
    this.tag = tag;
  }
}

export type Tags = Readonly<Record<string, string>>;

/** Whether a secret is one of the platform's. Any other is none of our business. */
export const isManaged = (tags: Tags): boolean => tags.managed_by === 'agent-platform';

export function agentIdOf(tags: Tags): string {
  const id = tags.agent_id;
  if (!id) throw new SecretTagError('agent_id', "the agent's id");
  return id;
}

/**
 * Which logins a secret has: the tag `keyturn:strategy`, `dual-user` without it.
 *
 * @throws SecretTagError
 */
export function strategyOf(tags: Tags): Strategy {
  const strategy = tags['keyturn:strategy'] ?? 'dual-user';
  if (strategy === 'dual-user' || strategy === 'single-user') return strategy;
  throw new SecretTagError('keyturn:strategy', 'dual-user or single-user');
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const defaultGraceMs = unitMs.h;
/** A superseded credential that works for longer is no longer superseded. */
const longestGraceMs = 90 * unitMs.d;

/**
 * How long a superseded credential goes on working, in milliseconds: the tag `keyturn:grace`, one hour without it.
 *
 * @example
 * graceMsOf({ 'keyturn:grace': '15m' }); // 900000
 */
export function graceMsOf(tags: Tags): number {
  const text = tags['keyturn:grace'];
  if (text === undefined) return defaultGraceMs;
  const [, amount, unit] = /^(\d{1,7})([smhd])$/.exec(text) ?? [];
  const graceMs = isUnit(unit) ? Number(amount) * unitMs[unit] : Number.NaN;
  if (!(graceMs <= longestGraceMs)) {
    throw new SecretTagError(
      'keyturn:grace',
      'a whole number and one of s, m, h, d, at most 90d, such as 1h',
    );
  }
  return graceMs;
}

function isUnit(text: string | undefined): text is keyof typeof unitMs {
  return text !== undefined && Object.hasOwn(unitMs, text);
}
