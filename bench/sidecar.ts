import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import * as z from 'zod';
import { createAgentSecrets } from '../agent/index.ts';
import { fieldsOf } from '../agent/secret-version.ts';
import { startSidecar } from '../agent/sidecar/server.ts';
import { root } from '../local/root.ts';
import { percentile } from '../local/tour/report.ts';
import { SecretValue } from '../shared/credential/secret-value.ts';
import type { Figure } from './figure.ts';

const ROUNDS = 5;
const token = 'the-token-of-the-bench';
const text = JSON.stringify({
  engine: 'postgres',
  host: 'db',
  username: 'bench_a',
  password: 'x'.repeat(32),
});
const load = z.object({ perSecond: z.number(), p99Ms: z.number() });
type Load = z.output<typeof load>;

/** The sidecar beside a bare server that answers a constant of the same length; the two take turns, 64 connections each. */
export async function sidecarLoad(): Promise<readonly Figure[]> {
  const version = {
    versionId: '0'.repeat(36),
    createdAt: 0,
    stages: ['AWSCURRENT'],
    fields: fieldsOf(text),
    value: SecretValue.of(text),
  };
  await using agent = createAgentSecrets({ agentId: 'bench', source: { fetch: async () => version } });
  await using sidecar = await startSidecar({ agent, token: SecretValue.of(token), port: 0 });
  const path = '/secretsmanager/get?secretId=agents/bench/credentials';
  const answer = await fetch(new URL(path, sidecar.url), {
    headers: { 'X-Aws-Parameters-Secrets-Token': token },
  });
  const constant = Buffer.from(await answer.arrayBuffer());
  const bare = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': constant.length });
    response.end(constant);
  });
  bare.listen(0, '127.0.0.1');
  await once(bare, 'listening');
  const address = bare.address();
  const bareUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  const [ours, theirs]: [Load[], Load[]] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    ours.push(await loaded(new URL(path, sidecar.url).href));
    theirs.push(await loaded(new URL(path, bareUrl).href));
  }
  bare.closeAllConnections();
  bare.close();
  const median = (of: readonly Load[], field: keyof Load) =>
    percentile(
      of.map((one) => one[field]),
      0.5,
    );
  const ratio = Number((median(ours, 'perSecond') / median(theirs, 'perSecond')).toFixed(2));
  const p99 = Number((median(ours, 'p99Ms') / median(theirs, 'p99Ms')).toFixed(2));
  return [
    {
      name: `Requests/s of the sidecar (${Math.round(median(ours, 'perSecond'))}) beside a bare server`,
      value: ratio,
      unit: 'times',
      goal: '>= 0.85',
      holds: ratio >= 0.85,
    },
    {
      name: 'p99 of the sidecar beside a bare server',
      value: p99,
      unit: 'times',
      goal: 'shown',
      holds: true,
    },
  ];
}

/** Asks as fast as it can for two seconds, from a process of its own. */
async function loaded(url: string): Promise<Load> {
  const child = fork(join(root, 'bench/http-load.ts'), [url, token, '64', '2000']);
  const [message] = await once(child, 'message');
  return load.parse(message);
}
