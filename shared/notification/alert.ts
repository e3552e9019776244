import { PublishCommand, type SNSClient } from '@aws-sdk/client-sns';
import { calledAws } from '../aws/errors.ts';

/** `page`: somebody is to look now. `ticket`: in the morning. `none`: nothing is to be done. */
export type Urgency = 'page' | 'ticket' | 'none';

/**
 * What on-call gets, with the stage, account and region that `alertsTo` adds: for a person to read, and for a machine to sort by
 * `backend`, `state` and `urgency`. Identifiers and times only.
 */
export interface AlertMessage {
  readonly what: string;
  /** Why, as far as a probe can tell. */
  readonly reason?: string;
  /** `secrets-manager`, `vault`, `target {name}`, `rotation:{secret}` or `finding:{kind}`. An episode opens and ends under one name. */
  readonly backend: string;
  readonly state: 'degraded' | 'unhealthy' | 'failed' | 'found' | 'recovered';
  readonly urgency: Urgency;
  readonly since: string;
  readonly at: string;
  readonly affects: string;
  /** Which secrets, and what became of each. */
  readonly secrets?: readonly string[];
  readonly runbook: string;
  readonly step?: string;
  readonly errorClass?: string;
}

/** Sends nothing once the signal is aborted. */
export type SendAlert = (message: AlertMessage, signal: AbortSignal) => Promise<void>;

/**
 * Publishes alerts on one topic. Each begins with the deployment that it is of, stage, account and region: whoever reads it is about
 * to run commands on one.
 *
 * @example
 * const send = alertsTo(new SNSClient(), { topicArn, stage: 'prod' });
 */
export function alertsTo(
  client: SNSClient,
  { topicArn, stage }: { readonly topicArn: string; readonly stage: string },
): SendAlert {
  const [, , , region, account] = topicArn.split(':');
  return async (message, abortSignal) => {
    await calledAws('sns:Publish', () =>
      client.send(
        new PublishCommand({
          TopicArn: topicArn,
          Subject: subject(stage, message.what),
          Message: JSON.stringify({ stage, account, region, ...message }, null, 2),
          MessageAttributes: {
            backend: { DataType: 'String', StringValue: message.backend },
            state: { DataType: 'String', StringValue: message.state },
            urgency: { DataType: 'String', StringValue: message.urgency },
          },
        }),
        { abortSignal },
      ),
    );
  };
}

/** SNS takes fewer than 100 printable ASCII characters. */
function subject(stage: string, what: string): string {
  return `Keyturn ${stage}: ${what}`.replaceAll(/[^ -~]/g, '?').slice(0, 99);
}
