import { mkdtempSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { type OpenBao, startOpenBao } from '../../../local/openbao/server.ts';
import { freePort } from '../../../local/ports.ts';
import { type Postgres, startPostgres } from '../../../local/postgres/server.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { type Declaration, readDeclaration } from '../../../shared/provisioning/declaration.ts';
import { planVault } from '../../../shared/provisioning/vault/plan.ts';
import { connectVaultAdmin, type VaultAdmin } from '../../../shared/vault/admin.ts';
import { type Cluster, startCluster } from '../agent/token-review.ts';

/** A Vault as its operator has set it up, before there is any agent; a database behind it; a cluster with pods. */
export interface VaultSetting extends AsyncDisposable {
  readonly bao: OpenBao;
  readonly postgres: Postgres;
  readonly cluster: Cluster;
  readonly admin: VaultAdmin;
  readonly auditFile: string;
}

export async function startVaultSetting(): Promise<VaultSetting> {
  await using parts = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
  const auditFile = join(folder, 'audit.log');
  const bao = parts.use(
    await startOpenBao({
      port: await freePort({ next: true }),
      logFile: join(folder, 'bao.log'),
      auditFile,
    }),
  );
  const postgres = parts.use(
    await startPostgres({ port: await freePort(), logFile: join(folder, 'postgres.log') }),
  );
  const cluster = parts.use(await startCluster(await freePort()));
  await bao.request('POST', 'sys/auth/kubernetes', { type: 'kubernetes' });
  await bao.request('POST', 'auth/kubernetes/config', {
    kubernetes_host: cluster.url,
    kubernetes_ca_cert: 'not used over http',
    disable_local_ca_jwt: true,
  });
  await bao.request('POST', 'sys/mounts/database', { type: 'database' });
  // No superuser: it may make logins, end sessions, and put logins into groups that it was made an administrator of.
  await postgres.query(`CREATE ROLE vault LOGIN CREATEROLE PASSWORD 'vault' IN ROLE pg_signal_backend`);
  await bao.request('POST', 'database/config/main', {
    plugin_name: 'postgresql-database-plugin',
    allowed_roles: ['*'],
    connection_url: `postgresql://{{username}}:{{password}}@127.0.0.1:${postgres.port}/postgres?sslmode=disable`,
    username: 'vault',
    password: 'vault',
    password_authentication: 'scram-sha-256',
    username_template: usernameTemplate,
  });
  const admin = connectVaultAdmin({ address: bao.url, token: SecretValue.of(bao.rootToken) });
  const all = parts.move();
  return { bao, postgres, cluster, admin, auditFile, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** `docs/operators.md` recommends it. */
export const usernameTemplate =
  '{{ printf "v-%s-%s" (.DisplayName | replace "kubernetes-" "" | truncate 46) (random 14) }}';

/** A declaration of an agent in Kubernetes with a database behind Vault. */
export const agentOf = (agentId: string, vault: object = {}): Declaration =>
  readDeclaration({
    agentId,
    postgres: {
      adminSecretArn: 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:keyturn/admin/db-AbCdEf',
      host: 'db.example',
      database: 'app',
    },
    vault: { databaseConnection: 'main', ...vault },
    kubernetes: { serviceAccount: agentId, namespace: 'agents', audience: 'vault' },
  });

/** The group as the PostgreSQL part of `apply` makes it, which Vault's login administers. */
async function makeGroup({ postgres }: VaultSetting, agentId: string): Promise<void> {
  await postgres.query(`CREATE ROLE "${agentId}" NOLOGIN`);
  await postgres.query(`GRANT "${agentId}" TO vault WITH ADMIN OPTION, INHERIT FALSE, SET FALSE`);
}

export async function provision(setting: VaultSetting, declared: Declaration): Promise<void> {
  for (const change of await planVault(declared, { vault: setting.admin })) await change.apply();
}

const loggedIn = z.object({ auth: z.object({ client_token: z.string(), policies: z.array(z.string()) }) });

/** A real login of a pod, by its service account. */
export async function podLogin(
  { cluster, bao }: VaultSetting,
  { agentId, kubernetes }: Declaration,
): Promise<string> {
  const { namespace = '', serviceAccount = '' } = kubernetes ?? {};
  const jwt = cluster.serviceAccountToken(namespace, serviceAccount);
  const answer = await call(bao, '', 'POST', 'auth/kubernetes/login', { role: agentId, jwt });
  return loggedIn.parse(answer.body).auth.client_token;
}

/** The token of an agent at work: it was provisioned, and a pod of it has logged in. */
export async function tokenAtWork(setting: VaultSetting, declared: Declaration): Promise<string> {
  await makeGroup(setting, declared.agentId);
  await provision(setting, declared);
  return podLogin(setting, declared);
}

/** Sends a path as it stands: `fetch` would resolve its dots. Follows where Vault says what it understands by it. */
export function call(
  bao: OpenBao,
  token: string,
  method: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly body: unknown }> {
  const { hostname, port } = new URL(bao.url);
  return new Promise((resolve, reject) => {
    const sent = request(
      { hostname, port, method, path: `/v1/${path}`, headers: { 'x-vault-token': token, ...headers } },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => {
          const { statusCode = 0, headers: answered } = response;
          const cleaned = answered.location?.replace(/^\/v1\//, '');
          if (statusCode === 307 && cleaned !== undefined && cleaned !== path) {
            resolve(call(bao, token, method, cleaned, body, headers));
          } else resolve({ status: statusCode, body: attempt(text) });
        });
      },
    );
    sent.once('error', reject);
    sent.end(body && JSON.stringify(body));
  });
}

function attempt(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const credential = z.object({
  lease_id: z.string(),
  data: z.object({ username: z.string(), password: z.string() }),
});

export async function dynamicLogin(
  { bao }: VaultSetting,
  token: string,
  role: string,
): Promise<{ readonly leaseId: string; readonly username: string; readonly password: string }> {
  const { lease_id: leaseId, data } = credential.parse(
    (await call(bao, token, 'GET', `database/creds/${role}`)).body,
  );
  return { leaseId, ...data };
}
