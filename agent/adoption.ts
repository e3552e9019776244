/** A version of a secret proved itself: the first connection with it was made. */
export interface Adoption {
  /** The secret as its user calls it: a name or an ARN. */
  readonly secret: string;
  readonly versionId: string;
  readonly at: Date;
}

/** Must be quick. What it throws becomes a process warning, and hurts no query. */
export type AdoptionListener = (adoption: Adoption) => void;

/** Tells a listener without letting its failure through. */
export function told<Fact>(listener: (fact: Fact) => void, fact: Fact): void {
  try {
    listener(fact);
  } catch (error) {
    process.emitWarning(
      `A listener of the agent failed: ${error instanceof Error ? error.name : typeof error}`,
    );
  }
}
