import { type EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { calledAws } from '../aws/errors.ts';

/** EventBridge took the call but not every event. Names the codes only: a refused entry holds the event. */
export class EventsRefusedError extends Error {
  override readonly name = 'EventsRefusedError';
  readonly codes: readonly string[];
  constructor(refused: number, sent: number, codes: readonly string[]) {
    super(`${refused} of ${sent} events were refused: ${codes.join(', ') || 'no code given'}`);
    this.codes = codes;
  }
}

export interface OutgoingEvent {
  readonly source: string;
  readonly detailType: string;
  readonly detail: object;
}

export interface EventBus {
  publish(events: readonly OutgoingEvent[]): Promise<void>;
}

/** PutEvents takes ten entries a call. */
const entriesPerCall = 10;

/**
 * Publishes on one bus. PutEvents answers 200 even where it refused entries, so the count is checked. After an error
 * some events may have been published: publishing all of them again is right, for consumers go by ids, not by counting.
 *
 * @example
 * await eventBus(new EventBridgeClient(), 'keyturn-prod').publish([secretChanged.of({ ... })]);
 */
export function eventBus(client: EventBridgeClient, busName: string): EventBus {
  return {
    async publish(events) {
      for (let start = 0; start < events.length; start += entriesPerCall) {
        const sent = events.slice(start, start + entriesPerCall);
        const answer = await calledAws('events:PutEvents', () =>
          client.send(
            new PutEventsCommand({
              Entries: sent.map(({ source, detailType, detail }) => ({
                EventBusName: busName,
                Source: source,
                DetailType: detailType,
                Detail: JSON.stringify(detail),
              })),
            }),
          ),
        );
        const refused = answer.FailedEntryCount ?? 0;
        if (refused > 0) {
          const codes = (answer.Entries ?? []).flatMap(({ ErrorCode }) => ErrorCode ?? []);
          throw new EventsRefusedError(refused, sent.length, [...new Set(codes)].sort());
        }
      }
    },
  };
}
