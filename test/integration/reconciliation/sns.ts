import { Readable } from 'node:stream';
import { SNSClient } from '@aws-sdk/client-sns';
import { textOf } from '../rotation/in-process.ts';
import type { Watch } from './fleet.ts';

/** The AWS SDK's own client on a topic in memory, which keeps the text of each message that it took. */
export function snsClientOf(messages: string[], watch: Watch): SNSClient {
  return new SNSClient({
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 2,
    requestHandler: {
      async handle(request: { body?: unknown }) {
        const form = new URLSearchParams(textOf(request.body));
        const action = form.get('Action') ?? '';
        watch.before(action, true);
        messages.push(form.get('Message') ?? '');
        watch.after(action);
        const answer = `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>
          <MessageId>${messages.length}</MessageId></PublishResult></PublishResponse>`;
        const headers = { 'content-type': 'text/xml' };
        return { response: { statusCode: 200, headers, body: Readable.from([Buffer.from(answer)]) } };
      },
    },
  });
}
