import type { FaultKind } from './faults.ts';
import type { Violation } from './oracle.ts';

/** What a run is made of: the same plan, the same run. */
export interface Plan {
  readonly seed: number;
  /** Which secrets there are; each has an agent with two instances. */
  readonly secrets: readonly number[];
  /** Rotations that are asked for, a secret. */
  readonly rotations: number;
  readonly kinds: readonly FaultKind[];
  /** Faults that are left out, by name. */
  readonly without: readonly string[];
}

export interface Outcome {
  /** How often a rotation moved AWSCURRENT. */
  readonly rotations: number;
  readonly events: number;
  readonly agentRequests: number;
  /** Superseded credentials whose grace another rotation cut short. */
  readonly overtaken: number;
  /** Alerts that SNS didn't take when it was asked. It is one of its calls that are refused: no kind of fault of its own. */
  readonly alertsRefused: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly struck: readonly string[];
  readonly violations: readonly Violation[];
}
