import type { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { secretAdopted } from '../events/secret-adopted/event.ts';
import { errorClassOf } from '../shared/observability/error-class.ts';
import type { Adoption } from './adoption.ts';
import { type AgentLog, warn } from './log.ts';

export interface AdoptionEventsOptions {
  /** Made when the first version is adopted, so that an agent that publishes nothing loads nothing. */
  readonly client: () => Promise<EventBridgeClient>;
  readonly eventBusName: string;
  readonly agentId: string;
  readonly instanceId: string;
  /** Told of an event that could not be published, by the name of the failure's class. */
  readonly log?: AgentLog | undefined;
}

/**
 * Publishes "Secret Adopted" when this instance has begun to use a version, once each. No read or query waits for it, and
 * none fails with it. The agent's role needs events:PutEvents on the bus.
 *
 * @example
 * const adopted = adoptionEvents({ client, eventBusName: 'keyturn-prod', agentId: 'billing-7', instanceId: hostname() });
 * createAgentSecrets({ agentId: 'billing-7', onAdopted: adopted });
 */
export function adoptionEvents(options: AdoptionEventsOptions): (adoption: Adoption) => void {
  const latest = new Map<string, string>();
  return (adoption) => {
    const { secret, versionId } = adoption;
    if (latest.get(secret) === versionId) return;
    latest.set(secret, versionId);
    publish(adoption, options).catch((error: unknown) => {
      // It may be told of again when the version is adopted anew, by another pool for instance.
      latest.delete(secret);
      const said = { secret, versionId, errorClass: errorClassOf(error) };
      warn(options.log, 'An adoption could not be published', said);
    });
  };
}

async function publish(
  { secretArn, secretName, secret, versionId, at }: Adoption,
  { client, eventBusName, agentId, instanceId }: AdoptionEventsOptions,
): Promise<void> {
  if (secretArn === undefined) return; // Not from Secrets Manager: the bus knows no such secret.
  const { source, detailType, detail } = secretAdopted.of({
    schemaVersion: 1,
    secret: secretName ?? secret,
    secretArn,
    agentId,
    agentInstanceId: instanceId,
    versionId,
    adoptedAt: at.toISOString(),
  });
  const { PutEventsCommand } = await import('@aws-sdk/client-eventbridge');
  const { FailedEntryCount = 0 } = await (await client()).send(
    new PutEventsCommand({
      Entries: [
        {
          EventBusName: eventBusName,
          Source: source,
          DetailType: detailType,
          Detail: JSON.stringify(detail),
        },
      ],
    }),
  );
  if (FailedEntryCount > 0) throw new AdoptionRefusedError('EventBridge refused the event');
}

/** EventBridge took the call and not the event. */
class AdoptionRefusedError extends Error {
  override readonly name = 'AdoptionRefusedError';
}
