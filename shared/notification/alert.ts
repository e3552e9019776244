import { PublishCommand, type SNSClient } from '@aws-sdk/client-sns';
import { calledAws } from '../aws/errors.ts';

/** What on-call gets: for a person to read, and for a machine to sort by `backend` and `state`. Identifiers and times only. */
export interface AlertMessage {
  readonly what: string;
  /** Why, as far as a probe can tell. */
  readonly reason?: string;
  /** `secrets-manager`, `vault`, `target {name}`, `rotation:{secret}` or `finding:{kind}`. An episode opens and ends under one name. */
  readonly backend: string;
  readonly state: 'degraded' | 'unhealthy' | 'failed' | 'found' | 'recovered';
  readonly since: string;
  readonly at: string;
  readonly affects: string;
  readonly runbook: string;
  readonly step?: string;
  readonly errorClass?: string;
}

export type SendAlert = (message: AlertMessage) => Promise<void>;

/**
 * Publishes alerts on one topic.
 *
 * @example
 * const send = alertsTo(new SNSClient(), topicArn);
 */
export function alertsTo(client: SNSClient, topicArn: string): SendAlert {
  return async (message) => {
    await calledAws('sns:Publish', () =>
      client.send(
        new PublishCommand({
          TopicArn: topicArn,
          Subject: subject(message.what),
          Message: JSON.stringify(message, null, 2),
          MessageAttributes: {
            backend: { DataType: 'String', StringValue: message.backend },
            state: { DataType: 'String', StringValue: message.state },
          },
        }),
      ),
    );
  };
}

/** SNS takes fewer than 100 printable ASCII characters. */
function subject(what: string): string {
  return `Keyturn: ${what}`.replaceAll(/[^ -~]/g, '?').slice(0, 99);
}
