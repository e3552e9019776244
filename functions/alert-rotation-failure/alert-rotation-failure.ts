import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod';
import { awsRotationFailed } from '../../events/aws-rotation-failed/event.ts';
import { parsed } from '../../events/contract.ts';
import { rotationFailed } from '../../events/rotation-failed/event.ts';
import { secretRotated } from '../../events/secret-rotated/event.ts';
import { type DescribedSecret, describeSecret } from '../../shared/labels/read.ts';
import { agentIdOf, isManaged } from '../../shared/labels/tags.ts';
import type { AlertMessage, SendAlert } from '../../shared/notification/alert.ts';
import { called, SecretsManagerError } from '../../shared/secrets-manager/errors.ts';
import { settle } from '../../shared/state/outbox.ts';
import { failed, type Rotations, rotated } from './episode.ts';
import type { PendingAlert, RotationState } from './rotation-state.ts';

const heard = z.discriminatedUnion('detail-type', [
  rotationFailed.schema,
  secretRotated.schema,
  awsRotationFailed,
]);

export interface AlertRotationFailureDependencies {
  readonly secretsManager: SecretsManagerClient;
  readonly records: RotationState;
  readonly send: SendAlert;
  readonly runbookUrl: string;
  readonly now: () => Date;
}

/**
 * One alert when a secret's rotations begin to fail, and one when one succeeds again. Events may repeat, and overtake. A failure
 * that rotate-secret told of and the one that AWS tells of later are of one episode; AWS's alone tells of a function that could
 * not even be called.
 */
export async function alertRotationFailure(
  input: unknown,
  dependencies: AlertRotationFailureDependencies,
): Promise<void> {
  const { records, send, runbookUrl, now } = dependencies;
  const event = parsed('The event of a rotation', heard, input);
  const news =
    event['detail-type'] === 'Secret Rotated'
      ? { ...event.detail, isFailure: false as const }
      : await failureOf(event, dependencies);
  if (!news) return;
  const { secretArn, secret, agentId } = news;
  await settle<Rotations, PendingAlert>(
    secretArn,
    (before = {}) => {
      if (!news.isFailure) {
        const { state, alert } = rotated(before, news) ?? {};
        return state && { state, alert: alert && { ...alert, secret, agentId } };
      }
      const { step, errorClass } = news;
      const { state, alert } = failed(before, news) ?? {};
      return state && { state, alert: alert && { ...alert, secret, agentId, step, errorClass } };
    },
    { records, now, send: (alert, signal) => send(messageOf(alert, runbookUrl), signal) },
  );
}

interface FailureNews {
  readonly isFailure: true;
  readonly secretArn: string;
  readonly secret: string;
  readonly agentId: string;
  readonly rotationId: string;
  readonly step: string | undefined;
  readonly errorClass: string;
  readonly failedAt: string;
}

/** AWS's event names the secret's ARN only. A secret that isn't the platform's, or is gone, is nobody's business here. */
async function failureOf(
  event: Exclude<z.output<typeof heard>, { 'detail-type': 'Secret Rotated' }>,
  { secretsManager }: AlertRotationFailureDependencies,
): Promise<FailureNews | undefined> {
  if (event['detail-type'] === 'Rotation Failed') return { ...event.detail, isFailure: true };
  const { eventID, eventTime, eventName, errorMessage = '', additionalEventData } = event.detail;
  const described = await describedOrGone(secretsManager, additionalEventData.SecretId);
  if (!described || !isManaged(described.tags)) return undefined;
  return {
    isFailure: true,
    secretArn: described.arn,
    secret: described.name,
    agentId: agentIdOf(described.tags),
    // It doesn't say which rotation. Times tell whether one has succeeded since.
    rotationId: eventID,
    step: /during (createSecret|setSecret|testSecret|finishSecret) step/.exec(errorMessage)?.[1],
    errorClass: eventName,
    failedAt: eventTime,
  };
}

async function describedOrGone(
  client: SecretsManagerClient,
  secretArn: string,
): Promise<DescribedSecret | undefined> {
  try {
    return await called('DescribeSecret', () => describeSecret(client, secretArn));
  } catch (error) {
    if (error instanceof SecretsManagerError && error.code === 'ResourceNotFoundException') return undefined;
    throw error;
  }
}

function messageOf(
  { state, since, at, secret, agentId, step, errorClass }: PendingAlert,
  runbookUrl: string,
): AlertMessage {
  const recovered = state === 'recovered';
  const anchor = errorClass === undefined ? '' : `#${errorClass.toLowerCase()}`;
  return {
    what: recovered ? `rotation of ${secret} works again` : `rotation of ${secret} failed`,
    backend: `rotation:${secret}`,
    state,
    urgency: recovered ? 'none' : errorClass === 'ConfusedDeputyError' ? 'page' : 'ticket',
    since,
    at,
    affects: recovered
      ? `nothing any more: agent ${agentId} gets the new credential`
      : `no request now: agent ${agentId} keeps working with its current credential, which stays in use beyond its time until a rotation succeeds`,
    ...(step !== undefined && { step }),
    ...(errorClass !== undefined && { errorClass }),
    runbook: `${runbookUrl}/rotation-failed.md${anchor}`,
  };
}
