import { expect, test } from 'vitest';
import { agentCommand } from '../../../cli/agent.ts';

test.each([
  ['--max-secrets', '0'],
  ['--max-secrets', '1.5'],
  ['--max-connections', '0'],
  ['--ttl-seconds', '-1'],
])('keyturn agent %s %s is refused by its name', async (flag, value) => {
  const said: string[] = [];
  const command = agentCommand()
    .exitOverride()
    .configureOutput({ writeErr: (text) => said.push(text) });
  const flags = ['--agent-id', 'billing-7', `${flag}=${value}`];
  await expect(command.parseAsync(flags, { from: 'user' })).rejects.toThrow('invalid');
  expect(said.join()).toContain(`option '${flag} <`);
});
