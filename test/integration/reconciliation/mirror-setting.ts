import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { Command } from 'commander';
import { driftCommand } from '../../../cli/drift.ts';
import { terminal } from '../../../cli/output.ts';
import {
  answerMirrors,
  type MirrorRunParts,
} from '../../../functions/reconcile-mirrors/reconcile-mirrors.ts';
import { mirrorAppRole } from '../../../local/openbao/approle.ts';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { root } from '../../../local/root.ts';
import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import type { OutgoingEvent } from '../../../shared/notification/event-bus.ts';
import type { MirrorFinding } from '../../../shared/reconciliation/mirrors/mirror-finding.ts';
import { type FindingsState, findingsState } from '../../../shared/reconciliation/report-findings.ts';
import { appRoleLogin, connectVault, type Vault } from '../../../shared/vault/client.ts';
import { mirrorDigest } from '../../../shared/vault/digest.ts';
import type { MirrorParts } from '../../../shared/vault/examine-mirror.ts';
import { syncMirror } from '../../../shared/vault/mirror.ts';
import { commandsOf } from '../../runbook/page.ts';
import { clientOf } from '../rotation/in-process.ts';
import { dynamoClientOf, type InMemoryTable } from './dynamodb.ts';
import { secretsManagerOf, unwatched, type Watch } from './fleet.ts';

let accounts = 0;

/** OpenBao with the very login that the deployed functions have. */
export async function vaultForMirrors(): Promise<{ bao: OpenBao; vault: Vault; login: object }> {
  const logFile = join(mkdtempSync(join(tmpdir(), 'keyturn-bao-')), 'bao.log');
  const bao = await startOpenBao({ port: await freePort({ next: true }), logFile });
  const { role_id: roleId, secret_id: secretId } = await mirrorAppRole(bao);
  const login = appRoleLogin(async () => ({ roleId, secretId }));
  return { bao, login, vault: connectVault({ address: bao.url, mount: 'secret', login }) };
}

export interface Mirrors {
  readonly engine: Engine;
  readonly parts: MirrorParts;
  readonly ownArns: string;
  readonly calls: string[];
  readonly alerts: AlertMessage[];
  readonly events: OutgoingEvent[];
  readonly clock: { now: Date };
  /** Makes an agent's secret with a mirror, unwritten. Gives its ARN. */
  secret(name: string, tags?: Readonly<Record<string, string>>): Promise<string>;
  put(secretId: string, password: string): Promise<string>;
  sync(secretId: string): ReturnType<typeof syncMirror>;
  /** What reconcile-mirrors does in an hour. */
  hour(parts?: Partial<MirrorRunParts>): Promise<void>;
  /** The function, asked as `keyturn drift` asks it. */
  ask(request: object, parts?: Partial<MirrorRunParts>): Promise<unknown>;
  /** A run of it, each of whose calls the watch is told of. */
  reconcile(watch: Watch): Promise<unknown>;
  /** What is known of the findings of a kind, as the table holds it. */
  known(kind: string): ReturnType<FindingsState['read']>;
  /** Runs what a runbook page says to run, for a secret that is mirrored under its own name. Gives keyturn's exit code. */
  follow(page: string, secret: string, bao: OpenBao): Promise<number | undefined>;
}

/** An account of its own, beside whatever else the Vault holds. */
export function mirrorsIn(vault: Vault): Mirrors {
  const clock = { now: new Date('2026-11-24T09:00:00Z') };
  const now = () => clock.now;
  accounts += 1;
  const accountId = String(accounts).padStart(12, '0');
  const ownArns = `arn:aws:secretsmanager:us-east-1:${accountId}:secret:`;
  const engine = createEngine({ now, accountId });
  const calls: string[] = [];
  const digest = mirrorDigest(Buffer.from('a key for tests'));
  const parts: MirrorParts = {
    secretsManager: clientOf(engine, (operation) => void calls.push(operation)),
    vault: counted(vault, calls),
    digest: async () => digest,
  };
  const alerts: AlertMessage[] = [];
  const events: OutgoingEvent[] = [];
  const table: InMemoryTable = new Map();
  const reportTold = (watch: Watch) => {
    const watched = <T>(call: string, keep: (told: T) => void) => {
      return async (told: T) => {
        watch.before(call);
        keep(told);
        watch.after(call);
      };
    };
    return {
      records: findingsState(dynamoClientOf(table, watch), 'state'),
      bus: {
        publish: watched('PutEvents', (published: readonly OutgoingEvent[]) => events.push(...published)),
      },
      send: watched('Publish', (message: AlertMessage) => alerts.push(message)),
      runbookUrl: 'https://runbook.example',
      now,
    };
  };
  const report = reportTold(unwatched);
  const partsTold = (watch: Watch) => ({
    secretsManager: secretsManagerOf(engine, watch),
    vault: counted(vault, calls, watch),
  });
  const ask = (request: object, others: Partial<MirrorRunParts> = {}, watch?: Watch) =>
    answerMirrors(request, {
      pause: async () => undefined,
      ...parts,
      ...(watch && partsTold(watch)),
      ...others,
      ownArns,
      report: watch ? reportTold(watch) : report,
      isLate: () => false,
      log: { info: () => undefined, warn: () => undefined },
    });
  return {
    engine,
    parts,
    ownArns,
    calls,
    alerts,
    events,
    clock,
    async secret(name, tags = {}) {
      const [, agentId = ''] = name.split('/');
      const all = { agent_id: agentId, managed_by: 'agent-platform', 'keyturn:mirror': name, ...tags };
      const { ARN } = await engine.CreateSecret({
        Name: name,
        SecretString: JSON.stringify({ username: 'u', password: 'first' }),
        Tags: Object.entries(all).map(([Key, Value]) => ({ Key, Value })),
      });
      return ARN;
    },
    async put(secretId, password) {
      clock.now = new Date(clock.now.getTime() + 60_000);
      const { VersionId } = await engine.PutSecretValue({
        SecretId: secretId,
        SecretString: JSON.stringify({ username: 'u', password }),
      });
      return VersionId;
    },
    sync: (secretId) => syncMirror(secretId, parts),
    async hour(others) {
      clock.now = new Date(clock.now.getTime() + 3_600_000);
      await ask({ action: 'reconcile' }, others);
    },
    ask,
    reconcile: (watch) => ask({ action: 'reconcile' }, {}, watch === unwatched ? undefined : watch),
    known: (kind) => report.records.read(kind),
    async follow(page, secret, bao) {
      const lines = commandsOf(page).map((line) =>
        line.replaceAll('SECRET', secret).replaceAll('MIRROR', secret).split(' '),
      );
      let exitCode: number | undefined;
      for (const [program, ...words] of lines) {
        if (program === 'keyturn') exitCode = await called(words, ask);
        else if (program === 'vault') vaultCommand(words, bao);
        else await tagged(words, engine);
      }
      return exitCode;
    },
  };
}

/** OpenBao's own command, which takes what Vault's does. */
function vaultCommand(words: readonly string[], { url, rootToken }: OpenBao): void {
  const { status } = spawnSync(join(root, '.keyturn/venv/local/bin/bao'), words, {
    env: { BAO_ADDR: url, BAO_TOKEN: rootToken },
  });
  if (status !== 0) throw new Error(`vault ${words.slice(0, 3).join(' ')} failed`);
}

/** `aws secretsmanager tag-resource --secret-id ID --tags Key=K,Value=V`, on the engine. */
async function tagged(words: readonly string[], engine: Engine): Promise<void> {
  const [, , , SecretId = '', , tag = ''] = words;
  const [, Key = '', Value = ''] = /^Key=(.+),Value=(.+)$/.exec(tag) ?? [];
  if (words[1] !== 'tag-resource' || Key === '') throw new Error('Only tag-resource is known here');
  await engine.TagResource({ SecretId, Tags: [{ Key, Value }] });
}

/** Runs `keyturn` in this process, asking that function. */
async function called(
  words: readonly string[],
  ask: (request: object) => Promise<unknown>,
): Promise<number | undefined> {
  const sink = () => new Writable({ write: (_chunk, _encoding, done) => done() });
  const output = terminal({ stdin: new PassThrough(), stdout: sink(), stderr: sink() });
  const before = process.exitCode;
  process.exitCode = undefined;
  await new Command('keyturn')
    .addCommand(driftCommand((_, request) => ask(request), output))
    .parseAsync([...words], { from: 'user' });
  const exitCode = process.exitCode === undefined ? undefined : Number(process.exitCode);
  process.exitCode = before;
  return exitCode;
}

/** Notes each call as `vault:{method}`. */
export function counted(vault: Vault, calls: string[], { before, after }: Watch = unwatched): Vault {
  const noting =
    <Arguments extends unknown[], Result>(name: string, call: (...args: Arguments) => Promise<Result>) =>
    async (...args: Arguments): Promise<Result> => {
      const noted = `vault:${name}`;
      calls.push(noted);
      before(noted);
      const result = await call(...args);
      after(noted);
      return result;
    };
  return {
    readData: noting('readData', vault.readData),
    writeData: noting('writeData', vault.writeData),
    readMetadata: noting('readMetadata', vault.readMetadata),
    readKey: noting('readKey', vault.readKey),
    writeCustomMetadata: noting('writeCustomMetadata', vault.writeCustomMetadata),
    list: noting('list', vault.list),
    remove: noting('remove', vault.remove),
    lookupToken: noting('lookupToken', vault.lookupToken),
  };
}

export const isWrite = (call: string): boolean => /vault:(write|remove)/.test(call);
export type { MirrorFinding };
