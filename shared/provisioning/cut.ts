import type { System } from './change.ts';

/** What was cut off, and when: a line of the report of a deprovisioning. */
export interface Cut {
  readonly system: System;
  /** `policy agent-billing`, `3 leases of database/creds/orders`. */
  readonly resource: string;
  readonly at: Date;
}
