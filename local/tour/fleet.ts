import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { root } from '../root.ts';
import { HopelessError, until } from '../until.ts';
import { agentMessage } from './messages.ts';
import type { Agent } from './provision.ts';

/** A running agent, and what it told of itself so far. */
export interface RunningAgent extends AsyncDisposable {
  readonly agent: Agent;
  readonly pid: number;
  readonly queries: { readonly total: number; readonly failed: number };
  /** When the agent first asked with a login, by the login; a login that comes back counts anew. */
  readonly logins: readonly { readonly login: string; readonly at: number }[];
  readonly failures: readonly string[];
}

/** Starts an agent's process, and gives it when its first query was answered. */
export async function startAgent(
  agent: Agent,
  environment: Readonly<Record<string, string>>,
  { ttlMs }: { readonly ttlMs?: number } = {},
): Promise<RunningAgent> {
  // What the agent's own platform gives it: AWS, and nothing of Vault's or the admin's.
  const { AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = environment;
  const child = fork(
    join(root, 'local/tour/agent.ts'),
    [agent.id, agent.secret, agent.topicArn, agent.table, agent.eventBusName].concat(
      ttlMs === undefined ? [] : String(ttlMs),
    ),
    {
      env: { PATH: process.env.PATH, AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY },
    },
  );
  const told = { ready: false, queries: { total: 0, failed: 0 } };
  const logins: { login: string; at: number }[] = [];
  const failures: string[] = [];
  child.on('message', (raw) => {
    const message = agentMessage.parse(raw);
    if (message.kind === 'ready') told.ready = true;
    if (message.kind === 'login') logins.push({ login: message.login, at: message.at });
    if (message.kind === 'failed') failures.push(message.reason);
    if (message.kind === 'count') told.queries = { total: message.total, failed: message.failed };
  });
  await until(`the agent ${agent.id} is answered`, async () => {
    const ending = child.signalCode ?? child.exitCode;
    if (ending !== null)
      throw new HopelessError(`the agent ${agent.id} ended before it was answered (${ending})`);
    return told.ready;
  });
  return {
    agent,
    pid: child.pid ?? Number.NaN,
    logins,
    failures,
    get queries() {
      return told.queries;
    },
    [Symbol.asyncDispose]: () => end(agent, child),
  };
}

/** Ends an agent, which waits for its running queries first: one that is never answered is a failure that nobody counted. */
async function end({ id }: Agent, child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  if (child.connected) child.send('end');
  const killer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(killer);
  if (child.signalCode === 'SIGKILL')
    throw new Error(`the agent ${id} did not end: a query of its was never answered`);
}
