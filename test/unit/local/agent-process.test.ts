import { afterEach, expect, test } from 'vitest';
import { startAgent } from '../../../local/tour/fleet.ts';

const { execArgv } = process;
afterEach(() => {
  process.execArgv = execArgv;
});

const agent = {
  id: 'billing-7',
  secret: 'agents/billing-7/credentials',
  secretArn: 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:agents/billing-7/credentials-a1B2c3',
  topicArn: 'arn:aws:sns:eu-central-1:000000000000:invalidations',
  table: 'orders',
  eventBusName: 'keyturn',
};

test.each([
  ['process.exit(3)', 'the agent billing-7 ended before it was answered (3)'],
  ['process.kill(process.pid)', 'the agent billing-7 ended before it was answered (SIGTERM)'],
])(
  'an agent that ends before it is answered is said to have, and not waited for: %s',
  async (program, says) => {
    process.execArgv = ['--eval', program];
    await expect(startAgent(agent, {})).rejects.toThrow(says);
  },
);
