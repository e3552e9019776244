import { SNSClient } from '@aws-sdk/client-sns';
import { answeredBy, textOf } from '../aws-in-process.ts';
import type { Watch } from './fleet.ts';

/** The AWS SDK's own client on a topic in memory, which keeps the text of each message that it took. */
export function snsClientOf(messages: string[], watch: Watch): SNSClient {
  return new SNSClient({
    ...answeredBy((request) => {
      const form = new URLSearchParams(textOf(request));
      const action = form.get('Action') ?? '';
      watch.before(action, true);
      messages.push(form.get('Message') ?? '');
      watch.after(action);
      const text = `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>
        <MessageId>${messages.length}</MessageId></PublishResult></PublishResponse>`;
      return { headers: { 'content-type': 'text/xml' }, text };
    }),
    maxAttempts: 2,
  });
}
