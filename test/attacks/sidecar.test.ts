import { chmodSync, chownSync, mkdtempSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentSecrets, createAgentSecrets } from '../../agent/index.ts';
import { type Sidecar, startSidecar } from '../../agent/sidecar/server.ts';
import {
  sidecarToken,
  TokenMissingError,
  TokenNotPrivateError,
  tokenCheck,
} from '../../agent/sidecar/token.ts';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { Store, secret, timeOf } from '../unit/agent/setting.ts';

const token = 'a-token-that-nobody-else-has-0123456789';
let agent: AgentSecrets;
let sidecar: Sidecar;
beforeAll(async () => {
  const store = new Store();
  agent = createAgentSecrets({ agentId: 'billing-7', source: store, ...timeOf(store) });
  sidecar = await startSidecar({ agent, token: SecretValue.of(token), port: 0 });
});
afterAll(async () => {
  await sidecar[Symbol.asyncDispose]();
  await agent.close();
});

function ask(headers: Record<string, string>, path = `/secretsmanager/get?secretId=${secret}`) {
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const asked = request(new URL(path, sidecar.url), { headers }, async (answer) => {
      let body = '';
      for await (const chunk of answer) body += chunk;
      resolve({ status: answer.statusCode ?? 0, body });
    });
    asked.once('error', reject).end();
  });
}

describe('a request that is not of a program of this machine with the token', () => {
  const own = { 'X-Aws-Parameters-Secrets-Token': token };
  it.each([
    ['no token', {}],
    ['an empty token', { 'X-Aws-Parameters-Secrets-Token': '' }],
    ['the beginning of the token', { 'X-Aws-Parameters-Secrets-Token': token.slice(0, -1) }],
    ['a longer token', { 'X-Aws-Parameters-Secrets-Token': `${token}x` }],
    ['the token as a cookie', { Cookie: `token=${token}` }],
    ['the token as Authorization', { Authorization: `Bearer ${token}` }],
    ["the name of a page's own host (DNS rebinding)", { ...own, Host: 'attacker.example' }],
    ['a name that begins like the loopback', { ...own, Host: 'localhost.attacker.example' }],
    ['a name that ends like it', { ...own, Host: 'attacker-localhost:2773' }],
    ['an address that is written otherwise', { ...own, Host: '2130706433' }],
    ['a proxy', { ...own, 'X-Forwarded-For': '10.0.0.1' }],
  ])('%s: gets no secret, and no hint', async (_, headers: Record<string, string>) => {
    const { status, body } = await ask(headers);
    expect([400, 403]).toContain(status);
    expect(body).not.toMatch(/SecretString|password|p-0/);
    expect(body.length).toBeLessThan(100);
  });

  it('with the token it is answered: the refusals above are of what was wrong with each', async () => {
    expect((await ask(own)).status).toBe(200);
  });

  it('a page may not read an answer: there is no header that lets it', async () => {
    const answer = await fetch(new URL('/ping', sidecar.url), {
      headers: { Origin: 'https://attacker.example' },
    });
    expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  });
});

describe('the file of the token', () => {
  const file = (mode: number, uid?: number) => {
    const path = join(mkdtempSync(join(tmpdir(), 'keyturn-test-')), 'token');
    writeFileSync(path, token, { mode: 0o600 });
    if (uid !== undefined) chownSync(path, uid, uid);
    chmodSync(path, mode);
    return { AWS_TOKEN: pathToFileURL(path).href };
  };

  it.each([0o604, 0o644, 0o660, 0o666, 0o602, 0o620])(
    'of mode %o is refused: others may read or write it',
    (mode) => {
      expect(() => sidecarToken(file(mode))).toThrow(TokenNotPrivateError);
    },
  );

  it.each([0o400, 0o600, 0o440, 0o640])('of mode %o is taken', (mode) => {
    expect(sidecarToken(file(mode)).reveal()).toBe(token);
  });

  it.runIf(process.getuid?.() === 0)('of another user is refused', () => {
    expect(() => sidecarToken(file(0o600, 65_534))).toThrow(TokenNotPrivateError);
  });

  it('that is a folder is no token, and is not told of by an error of the system', () => {
    expect(() =>
      sidecarToken({ AWS_TOKEN: pathToFileURL(mkdtempSync(join(tmpdir(), 'keyturn-test-'))).href }),
    ).toThrow(TokenMissingError);
  });
});

it('the time that a wrong token takes does not tell where it goes wrong', () => {
  const long = 'x'.repeat(4_096);
  const isToken = tokenCheck(SecretValue.of(long));
  const early = `y${long.slice(1)}`;
  const late = `${long.slice(1)}y`;
  const times: Record<'early' | 'late', number[]> = { early: [], late: [] };
  // In turn, so that what the machine does beside this test falls upon both.
  for (let round = 0; round < 400; round += 1) {
    for (const [which, given] of [
      ['early', early],
      ['late', late],
    ] as const) {
      const began = process.hrtime.bigint();
      for (let repeat = 0; repeat < 20; repeat += 1) isToken(given);
      times[which].push(Number(process.hrtime.bigint() - began));
    }
  }
  const median = (of: number[]) => of.sort((one, other) => one - other)[of.length / 2] ?? Number.NaN;
  const ratio = median(times.late) / median(times.early);
  expect(ratio).toBeGreaterThan(0.8);
  expect(ratio).toBeLessThan(1.25);
});
