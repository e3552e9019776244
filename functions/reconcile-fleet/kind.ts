import type { SchedulerClient } from '@aws-sdk/client-scheduler';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { GraceEnded } from '../../events/grace-ended/event.ts';
import type { FleetSecret } from '../../shared/fleet/secrets.ts';
import type { RevocationOutcome } from '../../shared/grace/revocation-outcome.ts';
import type { GraceSchedule } from '../../shared/grace/schedule.ts';
import type { AppliedDeclarations } from '../../shared/provisioning/declarations-state.ts';
import type { Finding } from '../../shared/reconciliation/finding.ts';
import type { Step } from '../../shared/rotation/rotation.ts';
import type { Turn } from '../../shared/secrets-manager/pace.ts';

export interface ReconcileParts {
  readonly secretsManager: SecretsManagerClient;
  readonly scheduler: SchedulerClient;
  readonly schedule: GraceSchedule;
  /** What the names of the admin secrets begin with. */
  readonly adminSecretsPrefix: string;
  /**
   * Has rotate-secret take a step, as Secrets Manager would. Gives the class of the error that it failed with, which is
   * FunctionNotReachedError where it couldn't be asked.
   */
  readonly takeStep: (step: Step, secretArn: string, token: string) => Promise<string | undefined>;
  /** Has revoke-superseded revoke. Gives the class of the error where it failed. */
  readonly revoke: (ended: GraceEnded) => Promise<RevocationOutcome | { readonly errorClass: string }>;
  readonly rotateFunctionArn: string;
  /** What agents were declared to be. */
  readonly declarations: Pick<AppliedDeclarations, 'read' | 'list'>;
  /** Waited for before each write to Secrets Manager, and before each list of a secret's versions. */
  readonly turns: { readonly write: Turn; readonly list: Turn };
  readonly now: () => Date;
  readonly log: { warn(message: string, fields: Record<string, string>): void };
}

/** `look` only reads. */
export type How = 'look' | 'repair';

export interface Suspects {
  readonly suspects: readonly FleetSecret[];
  /** Of which secrets the look can tell, by ARN. */
  readonly checked: ReadonlySet<string> | 'all';
}

/** One kind of what may be amiss. The same secret is settled by each kind on its own. */
export interface Kind {
  readonly kind: string;
  /**
   * Whether its suspects are proven by what named them, and so told where no time is left to settle them. Of other kinds most
   * suspects are well: such a run says nothing of them, neither that they are amiss nor that they no longer are.
   */
  readonly provesSuspects: boolean;
  /** Which secrets to look at closely, from the list alone where that is possible. */
  suspects(
    fleet: readonly FleetSecret[],
    parts: ReconcileParts,
    /** `isScheduled`: one of the hourly runs, which may share out between them what is costly. */
    run: { readonly isScheduled: boolean },
  ): Promise<Suspects>;
  /**
   * Looks at what Secrets Manager and the target say now, and repairs. Undefined where all is well by now. It keeps no memory:
   * killed anywhere, repeated, or beside another run, it judges anew.
   */
  settle(secret: FleetSecret, how: How, parts: ReconcileParts): Promise<Finding | undefined>;
}

export function finding(
  kind: string,
  { name, arn, agentId }: FleetSecret,
  explanation: string,
  outcome: Finding['outcome'],
): Finding {
  return { kind, secret: name, secretArn: arn, agentId, explanation, outcome };
}
