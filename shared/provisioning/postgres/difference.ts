/** Something that is not as declared, and the statements that make it so. */
export interface Difference {
  /** A line for a person: `+ `, `- ` or two spaces, and no secret. */
  readonly line: string;
  readonly statements: readonly string[];
}

export const comparing = (one: Difference, other: Difference): number => (one.line < other.line ? -1 : 1);
