import type { LambdaClient } from '@aws-sdk/client-lambda';
import { askFunction } from '../../shared/aws/ask-function.ts';
import { FunctionFailedError, FunctionNotReachedError } from '../../shared/aws/function-errors.ts';
import { revocationOutcome } from '../../shared/grace/revocation-outcome.ts';
import type { ReconcileParts } from './kind.ts';

/**
 * The functions whose business the repairs are. Asked, they do it under their own roles: the reconciler itself may neither put
 * a value nor move AWSCURRENT.
 */
export function askedFunctions(
  client: LambdaClient,
  { rotate, revoke }: { readonly rotate: string; readonly revoke: string },
): Pick<ReconcileParts, 'takeStep' | 'revoke'> {
  return {
    async takeStep(Step, SecretId, ClientRequestToken) {
      try {
        await askFunction(client, rotate, { Step, SecretId, ClientRequestToken });
        return undefined;
      } catch (error) {
        return failureOf(error);
      }
    },
    async revoke(ended) {
      try {
        return revocationOutcome.parse(await askFunction(client, revoke, ended));
      } catch (error) {
        return { errorClass: failureOf(error) };
      }
    },
  };
}

/** The class of what a function failed with. @throws what wasn't its failure */
function failureOf(error: unknown): string {
  if (error instanceof FunctionFailedError) return error.errorClass;
  if (error instanceof FunctionNotReachedError) return error.name;
  throw error;
}
