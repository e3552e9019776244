/**
 * The systems that a declaration is converged on. `Keyturn` is its own note of what was declared, which comes first, so that a
 * reconciler mends towards what is wanted, and not back.
 */
export const systems = ['Keyturn', 'Secrets Manager', 'PostgreSQL', 'Vault', 'IAM'] as const;
/** The name of one of them, as a change bears it. */
export type System = (typeof systems)[number];

/**
 * One difference between what is declared and what is, and how to end it. Planning only reads; where nothing differs there
 * is no change, and so nothing is written.
 */
export interface Change {
  readonly system: System;
  /** What it is made to: `secret agents/billing/credentials`, `role billing_a on db.example:5432`, `policy agent-billing`. */
  readonly resource: string;
  readonly action: 'create' | 'update' | 'delete';
  /** Lines that begin with `+ `, `- ` or two spaces. They hold no value of a secret. */
  readonly diff: readonly string[];
  /** May be repeated, and may be killed anywhere: planned again, what is left to do is found again. */
  apply(): Promise<void>;
}

/** What a look at one agent comes to, in one system or in all. */
export interface Planned {
  readonly changes: readonly Change[];
  /** What a person has to do: nothing else may. */
  readonly notes: readonly string[];
}
