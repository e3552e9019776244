import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { loginOn, postgresForTests, secretJson } from './setting.ts';

const pem = (name: string) => readFileSync(join(import.meta.dirname, 'certificates', name), 'utf8');
const ownAuthorities = tls.getCACertificates('default');

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests({
    tls: { certificate: pem('server.pem'), key: pem('server.key') },
    settings: { log_connections: 'on' },
  });
});
afterAll(async () => {
  tls.setDefaultCACertificates(ownAuthorities);
  await server[Symbol.asyncDispose]();
});

const trust = (authorities: string[]) => tls.setDefaultCACertificates([...ownAuthorities, ...authorities]);
const admin = (host: string, more: object = {}): SecretJson =>
  secretJson({
    engine: 'postgres',
    host,
    port: server.port,
    username: 'admin',
    password: server.password,
    ...more,
  });
const authorized = () =>
  readFileSync(server.logFile, 'utf8').match(/connection authenticated: .*admin/g)?.length ?? 0;

describe('26: TLS', () => {
  it('is verified: a certificate that nobody vouches for is refused before the login is sent', async () => {
    trust([]);
    const before = authorized();
    await expect(postgres.verify(admin('localhost'))).rejects.toMatchObject({
      name: 'TargetUnreachableError',
    });
    expect(authorized()).toBe(before);
  });

  it('is verified: a certificate of another name is refused', async () => {
    trust([pem('authority.pem')]);
    await expect(postgres.verify(admin('127.0.0.1'))).rejects.toMatchObject({
      name: 'TargetUnreachableError',
    });
  });

  it('is used where the certificate is trusted, whether or not the secret says so', async () => {
    trust([pem('authority.pem')]);
    await postgres.verify(admin('localhost'));
    await postgres.verify(admin('localhost', { ssl: true }));
    await postgres.verify(admin('localhost', { ssl: 'true' }));
  });

  it('is never given up: a server without it is refused, unless the secret says ssl: false', async () => {
    await using plain = await postgresForTests();
    const login = loginOn(plain, 'admin', plain.password);
    await postgres.verify(login);
    await expect(postgres.verify(login.with({ ssl: true }))).rejects.toMatchObject({
      name: 'TargetUnreachableError',
    });
  });
});
