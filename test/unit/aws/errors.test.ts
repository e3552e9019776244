import { expect, it } from 'vitest';
import { calledAws } from '../../../shared/aws/errors.ts';

const failing = (error: unknown) => calledAws('sns:Publish', () => Promise.reject(error)).catch((it) => it);

it.each([
  [Object.assign(new Error('hunter2'), { name: 'ThrottledException', $metadata: {} }), 'ThrottledException'],
  [Object.assign(new Error('hunter2'), { code: 'ECONNRESET' }), 'ECONNRESET'],
  [Object.assign(new SyntaxError('hunter2'), { $response: { body: 'hunter2' } }), 'SyntaxError'],
  ['hunter2', 'unknown'],
])(
  "a call that AWS refused fails with AWS's word for it, and with nothing that was sent",
  async (error, code) => {
    const told: unknown = await failing(error);
    expect(told).toMatchObject({ name: 'AwsCallError', message: `sns:Publish: ${code}`, code });
    expect(told).not.toHaveProperty('cause');
    expect(`${JSON.stringify(told)}${told instanceof Error ? told.stack : ''}`).not.toContain('hunter2');
  },
);

it('what a call gives is passed on', async () => {
  expect(await calledAws('sns:Publish', async () => 1)).toBe(1);
});
