import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { credentialsIn } from '../credential/credentials-in.ts';
import { InvalidSecretError } from '../credential/errors.ts';
import type { FleetSecret } from '../fleet/secrets.ts';
import { CredentialRefusedError, GrantsMissingError, TargetUnreachableError } from '../rotators/errors.ts';
import { rotatorOf } from '../rotators/registry.ts';
import { readVersion } from '../secrets-manager/versions.ts';

/** Why a rotation hasn't ended. */
export type Cause =
  | 'cancelled'
  | 'no value'
  | 'unusable value'
  | 'refused'
  | 'not verified'
  | 'unreachable'
  | 'unfinished';

const explanations: Readonly<Record<Cause, string>> = {
  cancelled: 'rotation was turned off while it ran',
  'no value': 'the pending version has no value: createSecret never got that far',
  'unusable value': "the pending version's value can't be used: it wasn't made by this rotation",
  refused: 'the target does not take the pending login: setSecret did not get that far',
  'not verified': "the target takes the pending login, which can't do what its agent does",
  unreachable: "the target can't be reached",
  unfinished: 'the pending login works: only the label has not moved',
};

export const explained = (cause: Cause): string => explanations[cause];

/** `complete`: take the rotation to its end. `abandon`: let its version go, for the next rotation to make another. */
export type Advice = 'complete' | 'abandon';

const advice: Readonly<Record<Cause, Advice>> = {
  cancelled: 'abandon',
  'no value': 'complete',
  'unusable value': 'abandon',
  refused: 'complete',
  'not verified': 'complete',
  unreachable: 'complete',
  unfinished: 'complete',
};

/** How a rotation that is stuck at this is to be ended, by the hourly look and by whoever asks. */
export const adviceFor = (cause: Cause): Advice => advice[cause];

/**
 * Looks for what a rotation is stuck at. Reads, and logs in to the target as the pending login would: it changes nothing.
 *
 * @throws what the target failed with, where that isn't one of the causes.
 */
export async function causeOf(
  client: SecretsManagerClient,
  { arn, rotationEnabled }: Pick<FleetSecret, 'arn' | 'rotationEnabled'>,
  versionId: string,
): Promise<Cause> {
  if (!rotationEnabled) return 'cancelled';
  try {
    const pending = await readVersion(client, arn, { versionId });
    if (!pending) return 'no value';
    for (const { engine, credential } of credentialsIn(pending.value))
      await rotatorOf(engine).verify(credential);
    return 'unfinished';
  } catch (error) {
    if (error instanceof InvalidSecretError) return 'unusable value';
    if (error instanceof CredentialRefusedError) return 'refused';
    if (error instanceof GrantsMissingError) return 'not verified';
    if (error instanceof TargetUnreachableError) return 'unreachable';
    throw error;
  }
}
