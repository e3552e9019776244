import { expect, it } from 'vitest';
import { afterFailure } from '../../../functions/reconcile-fleet/step-failure.ts';
import { FunctionNotReachedError } from '../../../shared/aws/function-errors.ts';
import { InvalidSecretError } from '../../../shared/credential/errors.ts';
import { NotPendingError, UnknownVersionError } from '../../../shared/rotation/errors.ts';
import {
  AlternateTakenError,
  OvertakenError,
  TargetFailedError,
  TargetUnreachableError,
} from '../../../shared/rotators/errors.ts';
import { SecretsManagerError } from '../../../shared/secrets-manager/errors.ts';

it.each([
  new TargetUnreachableError(),
  new SecretsManagerError('GetSecretValue', 'ThrottlingException'),
  new FunctionNotReachedError('rotate-secret', 'TooManyRequestsException'),
  new NotPendingError(),
  new UnknownVersionError(),
])('a step that fails with $name is waited for', ({ name }) => {
  expect(afterFailure(name)).toBe('wait');
});

it.each([
  new TargetFailedError('refused', '22023'),
  new InvalidSecretError('host', 'text'),
  new OvertakenError(),
])('a step that fails with $name never succeeds, and its rotation is let go', ({ name }) => {
  expect(afterFailure(name)).toBe('abandon');
});

it.each([new AlternateTakenError().name, 'UnknownError', 'Runtime.ExitError', 'constructor'])(
  'a step that fails with %s needs a person',
  (name) => {
    expect(afterFailure(name)).toBe('ask a person');
  },
);
