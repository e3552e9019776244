import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { rotationFailed } from '../../events/rotation-failed/event.ts';
import { secretRotated } from '../../events/secret-rotated/event.ts';
import type { AlertMessage, SendAlert } from '../../shared/notification/alert.ts';
import { settle } from '../../shared/state/outbox.ts';
import { failed, type Rotations, rotated } from './episode.ts';
import type { PendingAlert, RotationState } from './rotation-state.ts';

const heard = z.discriminatedUnion('detail-type', [rotationFailed.schema, secretRotated.schema]);

export interface AlertRotationFailureDependencies {
  readonly records: RotationState;
  readonly send: SendAlert;
  readonly runbookUrl: string;
  readonly now: () => Date;
}

/** One alert when a secret's rotations begin to fail, and one when one succeeds again. Events may repeat, and overtake. */
export async function alertRotationFailure(
  input: unknown,
  { records, send, runbookUrl, now }: AlertRotationFailureDependencies,
): Promise<void> {
  const event = parsed('The event of a rotation', heard, input);
  const { secretArn, secret, agentId } = event.detail;
  await settle<Rotations, PendingAlert>(
    secretArn,
    (before = {}) => {
      if (event['detail-type'] === 'Secret Rotated') {
        const { state, alert } = rotated(before, event.detail) ?? {};
        return state && { state, alert: alert && { ...alert, secret, agentId } };
      }
      const { step, errorClass } = event.detail;
      const { state, alert } = failed(before, event.detail) ?? {};
      return state && { state, alert: alert && { ...alert, secret, agentId, step, errorClass } };
    },
    { records, now, send: (alert) => send(messageOf(alert, runbookUrl)) },
  );
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
