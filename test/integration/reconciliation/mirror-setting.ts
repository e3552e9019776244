import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { healMirrors } from '../../../functions/reconcile-mirrors/reconcile-mirrors.ts';
import { mirrorAppRole } from '../../../local/openbao/approle.ts';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import type { OutgoingEvent } from '../../../shared/notification/event-bus.ts';
import type { MirrorFinding } from '../../../shared/reconciliation/mirrors/mirror-finding.ts';
import type { FindingsAlert, OpenFindings } from '../../../shared/reconciliation/open-findings.ts';
import { appRoleLogin, connectVault, type Vault } from '../../../shared/vault/client.ts';
import { mirrorDigest } from '../../../shared/vault/digest.ts';
import { type MirrorParts, syncMirror } from '../../../shared/vault/mirror.ts';
import { recordsInMemory } from '../../unit/state/in-memory.ts';
import { clientOf } from '../rotation/in-process.ts';

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
  hour(parts?: Partial<MirrorParts>): Promise<void>;
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
  const report = {
    records: recordsInMemory<OpenFindings, FindingsAlert>(),
    bus: { publish: async (published: readonly OutgoingEvent[]) => void events.push(...published) },
    send: async (message: AlertMessage) => void alerts.push(message),
    runbookUrl: 'https://runbook.example',
    now,
  };
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
    async hour(others = {}) {
      clock.now = new Date(clock.now.getTime() + 3_600_000);
      await healMirrors({
        ...parts,
        ...others,
        ownArns,
        report,
        isLate: () => false,
        log: { info: () => undefined, warn: () => undefined },
      });
    },
  };
}

/** Notes each call as `vault:{method}`. */
export function counted(
  vault: Vault,
  calls: string[],
  before: () => void = () => undefined,
  after: () => void = () => undefined,
): Vault {
  const noting =
    <Arguments extends unknown[], Result>(name: string, call: (...args: Arguments) => Promise<Result>) =>
    async (...args: Arguments): Promise<Result> => {
      calls.push(`vault:${name}`);
      before();
      const result = await call(...args);
      after();
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
