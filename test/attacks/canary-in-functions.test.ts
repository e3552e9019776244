import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { mirrorAppRole } from '../../local/openbao/approle.ts';
import { startOpenBao } from '../../local/openbao/server.ts';
import { freePort } from '../../local/ports.ts';
import { root } from '../../local/root.ts';
import { postgresForTests } from '../integration/rotation/setting.ts';
import type { Fault, OutsideCall } from './account.ts';
import { leaksOf, shown } from './canary.ts';
import { deadLetterOf, deploy } from './deployment.ts';
import { canaries, type Setting, scenarios, secretsOf } from './scenarios.ts';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-canary-'));
const audit = { hashed: join(folder, 'audit.log'), raw: join(folder, 'raw-audit.log') };
const parts = new AsyncDisposableStack();
let setting: Setting;
beforeAll(async () => {
  const server = parts.use(
    await postgresForTests({
      settings: {
        log_statement: 'all',
        log_min_messages: 'debug1',
        log_min_error_statement: 'debug1',
        log_connections: 'on',
        shared_preload_libraries: 'pg_stat_statements',
      },
    }),
  );
  await server.query(`CREATE ROLE boss SUPERUSER LOGIN PASSWORD ${pg.escapeLiteral(canaries.admin)};
    CREATE EXTENSION pg_stat_statements`);
  const bao = parts.use(
    await startOpenBao({
      port: await freePort({ next: true }),
      logFile: join(folder, 'bao.log'),
      auditFile: audit.hashed,
      rawAuditFile: audit.raw,
    }),
  );
  const appRole = await mirrorAppRole(bao);
  const deployment = parts.use(await deploy({ vaultUrl: bao.url }));
  setting = { deployment, server, appRole, vault: bao.request };
});
afterAll(() => parts.disposeAsync());

/** Every secret of every account that there has been. */
const everySecret: Record<string, string> = {};
let statementsRead = 0;

/** What the test itself says in a statement. */
const without = (secrets: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(secrets).filter(([, secret]) => secret !== canaries.first && secret !== canaries.admin),
  );

/** A secret's own places are Secrets Manager's PutSecretValue, a mirror's data, and Vault's login: the token of each request too. */
function overheard({ service, operation, text }: OutsideCall): string {
  if (operation === 'PutSecretValue') return text.replace(/"SecretString":"(?:[^"\\]|\\.)*"/, '');
  if (service !== 'Vault') return text;
  if (/^(POST|PUT) (secret\/data|auth\/approle\/login)/.test(operation)) return operation;
  return text.replace(/"x-vault-token":"[^"]*"/, '');
}

/** Whether an error is a library's, which may hold a request, or carries one. */
const isForeign = (error: unknown): boolean =>
  error !== undefined &&
  !(
    error instanceof Error &&
    /^[A-Z]\w+Error$/.test(error.name) &&
    error.name !== 'TypeError' &&
    error.cause === undefined &&
    !('$metadata' in error) &&
    !('config' in error)
  );

/** Calls a function as it is called, the nth call that it makes met by a fault, and looks for secrets in all that it left behind. */
async function leaksWhere(name: string, nth: number, fault: Fault) {
  const { deployment, server } = setting;
  const { account } = deployment;
  const { engine, events } = (await scenarios[name]?.(setting)) ?? {};
  if (!engine || !events) throw new Error(`${name} has no scenario`);
  deployment.takePrinted();
  account.reset({
    engine,
    strike: { nth, fault },
    corruptAt: [canaries.static, canaries.first],
  });
  const run = await deployment.start(name);
  const heard: string[] = [];
  const foreign: string[] = [];
  for (const event of events) {
    account.nextEvent();
    const { answer, error } = await run(event);
    heard.push(shown(answer), JSON.stringify(answer) ?? '');
    if (isForeign(error)) foreign.push(shown(error).slice(0, 200));
    if (error !== undefined) heard.push(shown(error), deadLetterOf(event, error));
  }
  await engine.idle();
  account.heal();
  heard.push(...account.calls.map(overheard), deployment.takePrinted(), ...account.segments);
  heard.push(...account.schedules.values(), JSON.stringify([...account.table]));
  const secrets = await secretsOf(setting, engine);
  Object.assign(everySecret, secrets);
  const log = readFileSync(server.logFile);
  const statements = log.subarray(statementsRead).toString();
  statementsRead = log.length;
  return {
    wasStruck: account.wasStruck(),
    foreign,
    leaks: [...leaksOf(heard.join('\n'), secrets), ...leaksOf(statements, without(secrets))],
  };
}

/** What is killed elsewhere: canary-in-rotations.test.ts, and the crash matrix. */
const faultsOf = (name: string): readonly Fault[] =>
  ['rotate-secret', 'revoke-superseded', 'reconcile-fleet', 'reconcile-mirrors'].includes(name)
    ? ['quoted', 'corrupt']
    : ['quoted', 'corrupt', 'killed'];

describe('no secret is in a log, an event, a metric, a trace, an error, a dead letter, the state table or a statement log', () => {
  const names = readdirSync(join(root, 'functions'));
  it('of any function of the deployment: each has its scenario here', () => {
    expect(Object.keys(scenarios).sort()).toEqual(names.sort());
  });

  it.each(names.flatMap((name) => faultsOf(name).map((fault) => [name, fault] as const)))(
    '%s, whichever outside call is %s',
    async (name, fault) => {
      const leaks: Record<number, string[]> = {};
      const foreign: Record<number, string[]> = {};
      let nth = 1;
      for (; ; nth += 1) {
        const found = await leaksWhere(name, nth, fault);
        if (found.leaks.length > 0) leaks[nth] = found.leaks;
        if (found.foreign.length > 0) foreign[nth] = found.foreign;
        if (!found.wasStruck) break;
      }
      expect(leaks).toEqual({});
      expect(foreign).toEqual({});
      expect(nth).toBeGreaterThan(1);
    },
  );
});

describe('what others write down of it', () => {
  it("PostgreSQL's statistics of statements and of sessions hold none", async () => {
    const rows = await setting.server.query(
      `SELECT query FROM pg_stat_statements UNION ALL SELECT query FROM pg_stat_activity`,
    );
    const text = JSON.stringify(rows);
    expect(text).toContain('ALTER ROLE');
    expect(leaksOf(text, without(everySecret))).toEqual([]);
  });

  it("Vault's audit log, which hashes values, holds none", () => {
    const text = readFileSync(audit.hashed, 'utf8');
    expect(text).toContain('secret/data/agents/');
    expect(leaksOf(text, everySecret)).toEqual([]);
  });

  it("a raw audit log holds them in the value's, the login's and the token's places only: in no path, header or metadata", () => {
    const isOwnPlace = (key: string) => /^(client_token|accessor|token_accessor|secret_id)$/.test(key);
    const rest: string[] = [];
    for (const line of readFileSync(audit.raw, 'utf8').trim().split('\n')) {
      const entry = z
        .looseObject({ request: z.looseObject({ path: z.string() }) })
        .parse(JSON.parse(line, (key, value: unknown) => (isOwnPlace(key) ? undefined : value)));
      // The probe of health asks what its token is good for: the answer is the token's own.
      const hasOwnData = /^(secret\/data\/|auth\/token\/lookup-self$)/.test(entry.request.path);
      rest.push(
        JSON.stringify(entry, (key, value: unknown) => (hasOwnData && key === 'data' ? undefined : value)),
      );
    }
    expect(leaksOf(readFileSync(audit.raw, 'utf8'), { static: canaries.static })).toEqual(['static']);
    expect(leaksOf(rest.join('\n'), everySecret)).toEqual([]);
  });
});
