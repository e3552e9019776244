import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { postgres } from '../../shared/rotators/postgres/postgres.ts';
import {
  adminOf,
  agentOn,
  graceEnded,
  postgresForTests,
  secretJson,
  untroubled,
} from '../integration/rotation/setting.ts';
import { formsOf, shown } from './canary.ts';
import { demands, startHostileServer } from './hostile-server.ts';

const canary = 'canary/+"p@ss word"-71f0';
const pem = (name: string) => readFileSync(join(import.meta.dirname, 'certificates', name), 'utf8');
const valid = { certificate: pem('valid.pem'), key: pem('valid.key') };
const expired = { certificate: pem('expired.pem'), key: pem('expired.key') };
const ownAuthorities = tls.getCACertificates('default');
afterEach(() => tls.setDefaultCACertificates(ownAuthorities));

const loginAt = (port: number, more: object = {}) =>
  secretJson({
    engine: 'postgres',
    host: 'localhost',
    port,
    username: 'victim_a',
    password: canary,
    ...more,
  });

/** Verifies a login, as the step testSecret does, against a server; gives its error and what the server has heard. */
async function heardBy(
  options: Parameters<typeof startHostileServer>[0],
  { trusted = [], more = {} }: { trusted?: string[]; more?: object } = {},
) {
  tls.setDefaultCACertificates([...ownAuthorities, ...trusted]);
  await using server = await startHostileServer(options);
  const error = await postgres.verify(loginAt(server.port, more)).catch((thrown: unknown) => thrown);
  const heard = server.received();
  for (const form of formsOf(canary)) {
    expect(heard).not.toContain(form);
    expect(shown(error)).not.toContain(form);
  }
  return { error, heard };
}

describe('a server that is not who it should be', () => {
  it('has no TLS (answers N): it hears not even who wants to log in', async () => {
    const { error, heard } = await heardBy({ tls: 'N', demand: demands.cleartext });
    expect(error).toMatchObject({ name: 'TargetUnreachableError' });
    expect(heard).not.toContain('victim_a');
  });

  it('says yes to TLS and goes on without: it hears not even who wants to log in', async () => {
    const { error, heard } = await heardBy({ tls: 'yes, and then plaintext', demand: demands.cleartext });
    expect(error).toMatchObject({ name: 'TargetUnreachableError' });
    expect(heard).not.toContain('victim_a');
  });

  it.each([
    ['vouches for itself', valid, []],
    ['has expired', expired, [expired.certificate]],
  ])(
    'has a certificate that %s: it hears not even who wants to log in',
    async (_, tlsOf, trusted: string[]) => {
      const { error, heard } = await heardBy({ tls: tlsOf, demand: demands.cleartext }, { trusted });
      expect(error).toMatchObject({ name: 'TargetUnreachableError' });
      expect(heard).not.toContain('victim_a');
    },
  );

  it('has the certificate of another name: it hears not even who wants to log in', async () => {
    const { error, heard } = await heardBy(
      { tls: valid, demand: demands.cleartext },
      { trusted: [valid.certificate], more: { host: '127.0.0.1' } },
    );
    expect(error).toMatchObject({ name: 'TargetUnreachableError' });
    expect(heard).not.toContain('victim_a');
  });
});

describe('a server with a certificate that is trusted, which somebody else wrote into the secret', () => {
  it('asks for the password in clear text: it does not get it', async () => {
    const { error, heard } = await heardBy(
      { tls: valid, demand: demands.cleartext },
      { trusted: [valid.certificate] },
    );
    expect(error).toMatchObject({ name: 'ConfusedDeputyError' });
    expect(heard).toContain('victim_a');
  });

  it('asks for it in clear text without TLS, where the secret says ssl: false: it does not get it', async () => {
    const { error } = await heardBy({ tls: 'N', demand: demands.cleartext }, { more: { ssl: false } });
    expect(error).toMatchObject({ name: 'ConfusedDeputyError' });
  });

  it('asks for a proof that gives the password away: it does not get it', async () => {
    const { error } = await heardBy(
      { tls: valid, demand: demands.unknownMechanism },
      { trusted: [valid.certificate] },
    );
    expect(error).toMatchObject({ name: 'TargetUnreachableError' });
  });

  it('lets anybody in: the login is not proven by that', async () => {
    const { error } = await heardBy({ tls: valid, demand: demands.ok }, { trusted: [valid.certificate] });
    expect(error).toBeInstanceOf(Error);
  });

  it("does not get the admin's password either, where RDS manages it and it names no server", async () => {
    await using server = await postgresForTests();
    await using hostile = await startHostileServer({ tls: 'N', demand: demands.cleartext });
    const current = (await agentOn(server, 'lured')).with({ port: hostile.port, host: '127.0.0.1' });
    const pending = postgres.stage(current, 'dual-user');
    const admin = secretJson({ username: 'admin', password: canary });
    const apply = postgres.apply({
      current,
      pending,
      admin,
      ...untroubled,
    });
    await expect(apply).rejects.toMatchObject({ name: 'ConfusedDeputyError' });
    const revocation = {
      ...graceEnded,
      superseded: current,
      kept: [],
      admin,
    };
    await expect(postgres.revoke(revocation)).rejects.toMatchObject({ name: 'ConfusedDeputyError' });
    for (const form of formsOf(canary)) expect(hostile.received()).not.toContain(form);
    await postgres.verify(adminOf(server));
  });
});
