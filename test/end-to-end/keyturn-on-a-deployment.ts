import { join } from 'node:path';
import { expect, it } from 'vitest';
import * as z from 'zod';
import { createAgentSecrets } from '../../agent/index.ts';
import { keyturnCommand } from '../../local/keyturn-command.ts';
import { root } from '../../local/root.ts';
import type { Clients } from '../../local/stack/clients.ts';
import { region, type Stack } from '../../local/stack/start.ts';
import { provisionAgent } from '../../local/tour/provision.ts';
import { currentLogin, takes } from '../../local/tour/tour.ts';
import { until } from '../../local/until.ts';

const status = z.object({
  secrets: z.array(
    z.object({
      versionId: z.string(),
      adoption: z.object({
        instances: z.array(z.object({ instance: z.string(), isCurrent: z.boolean() })).default([]),
      }),
      mirror: z.object({ state: z.string() }),
    }),
  ),
});
const checks = z.object({ checks: z.array(z.object({ check: z.string(), state: z.string() })) });

/** The command as an operator uses it on what is deployed; it prints no secret. */
export function operatorsCommands(
  deployed: () => { readonly stack: Stack; readonly clients: Clients },
): void {
  it('an agent is declared, rotated, seen to adopt, and cut off, by commands that print no secret', async () => {
    const { stack, clients } = deployed();
    const printed: string[] = [];
    const keyturn = async (words: string, expected: readonly number[] = []) => {
      const all = [...words.split(' '), '--stage', 'local'];
      const { stdout } = await keyturnCommand(all, stack.environment, expected);
      printed.push(stdout);
      return stdout;
    };
    const agent = await provisionAgent('commanded', stack, clients, { graceSeconds: 3_600 });
    await stack.secretsManager.engine.idle();
    await keyturn(`apply ${join(root, '.keyturn/agents-one-by-one/commanded')} --dry-run`);
    const first = await currentLogin({ clients }, agent);

    await using running = createAgentSecrets({
      agentId: agent.id,
      topicArn: agent.topicArn,
      eventBusName: agent.eventBusName,
      instanceId: 'pod-1',
      aws: {
        endpoint: stack.endpoint,
        region,
        credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      },
    });
    await running.get(agent.secret);
    await until('the agent hears of new versions', async () => running.connected);
    await keyturn(`rotate ${agent.secret} --wait --yes --json`);
    const second = await currentLogin({ clients }, agent);
    expect(second.username).not.toBe(first.username);
    await until('its adoption is on record', async () => {
      const [row] = status.parse(JSON.parse(await keyturn('status commanded --json', [3]))).secrets;
      return (
        row?.versionId === second.versionId &&
        row.mirror.state === 'current' &&
        row.adoption.instances.some(({ instance, isCurrent }) => instance === 'pod-1' && isCurrent)
      );
    });
    await keyturn('status', [3]);
    await keyturn('health', [3]);
    const { checks: verdicts } = checks.parse(JSON.parse(await keyturn('doctor --json', [3])));
    const isWell = (name: string) => verdicts.some(({ check, state }) => check === name && state === 'well');
    for (const check of ['functions', 'rules', 'rotation permission', 'grace schedules', 'Vault', 'clock']) {
      expect(isWell(check), check).toBe(true);
    }

    await keyturn('deprovision agent commanded --yes');
    for (const login of [first, second]) expect(await takes({ stack }, login)).toBe(false);
    for (const { password } of [first, second]) expect(printed.join()).not.toContain(password);
  });
}
