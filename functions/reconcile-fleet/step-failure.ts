import type { FunctionNotReachedError } from '../../shared/aws/function-errors.ts';
import type { InvalidSecretError } from '../../shared/credential/errors.ts';
import type { NotPendingError, UnknownVersionError } from '../../shared/rotation/errors.ts';
import type {
  OvertakenError,
  TargetFailedError,
  TargetUnreachableError,
} from '../../shared/rotators/errors.ts';
import type { SecretsManagerError } from '../../shared/secrets-manager/errors.ts';

/**
 * What becomes of a stuck rotation after one of its steps failed.
 * - `wait`: it may end by itself.
 * - `abandon`: it never will, and the next rotation makes another password.
 * - `ask a person`: nothing that a reconciler may do mends it.
 */
export type AfterFailure = 'wait' | 'abandon' | 'ask a person';

/** The target answers again, Secrets Manager or Lambda does, or another rotation took over. */
type Passing =
  | TargetUnreachableError
  | SecretsManagerError
  | FunctionNotReachedError
  | NotPendingError
  | UnknownVersionError;
/** A password that the target's policy doesn't take is never taken, nor one that came too late. */
type Spent = TargetFailedError | InvalidSecretError | OvertakenError;

/** Keyed by the errors' own names, so that one which is renamed no longer compiles here. */
const known: Readonly<Record<Passing['name'], 'wait'> & Record<Spent['name'], 'abandon'>> = {
  TargetUnreachableError: 'wait',
  SecretsManagerError: 'wait',
  FunctionNotReachedError: 'wait',
  NotPendingError: 'wait',
  UnknownVersionError: 'wait',
  TargetFailedError: 'abandon',
  InvalidSecretError: 'abandon',
  OvertakenError: 'abandon',
};
const byClass: ReadonlyMap<string, AfterFailure> = new Map(Object.entries(known));

/** Judged by the class of the error, which is all that a function tells of it. */
export const afterFailure = (errorClass: string): AfterFailure => byClass.get(errorClass) ?? 'ask a person';
