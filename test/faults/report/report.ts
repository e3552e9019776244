/** What `npm run prove -- --report FILE` writes. What was not run counts nothing. */
export interface ProofReport {
  readonly matrix: { readonly run: number; readonly held: number };
  readonly environment: { readonly run: number; readonly held: number };
  readonly simulation: { readonly rotations: number; readonly violations: number; readonly seed: number };
  readonly planted: { readonly total: number; readonly caught: number };
  readonly soak: { readonly rotations: number; readonly failedRequests: number };
  readonly attacks: { readonly run: number; readonly held: number };
  readonly mutation: { readonly score: number };
}

/** A line of the table: one claim, how often it was tried, and whether it held. */
export interface Line {
  readonly part: string;
  readonly what: string;
  readonly run: number;
  readonly held: number;
}

export interface Section {
  readonly title: string;
  readonly explanation: string;
  /** Undefined: this part was not run. */
  readonly lines: readonly Line[] | undefined;
  /** How to run it, where it was not. */
  readonly otherwise: string;
  readonly figures: readonly (readonly [string, string])[];
}

/** Not run is not held. */
export function standingOf({ lines }: Section): 'holds' | 'broken' | 'not run' {
  if (!lines) return 'not run';
  return lines.every(({ run, held }) => run === held) ? 'holds' : 'broken';
}
