/** The systems that a declaration is converged on, in the order in which they are: who depends on another comes after it. */
export const systems = ['Secrets Manager', 'PostgreSQL', 'Vault', 'IAM'] as const;
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
