import { describe, expect, test } from 'vitest';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { postgresLogin, sameServer } from '../../../shared/rotators/postgres/credential.ts';
import { rotatorOf } from '../../../shared/rotators/registry.ts';

const whole = {
  engine: 'postgres',
  host: 'db.example',
  username: 'billing_a',
  password: 'the-password',
};
const login = (fields: object) =>
  postgresLogin(SecretJson.parse(SecretValue.of(JSON.stringify({ ...whole, ...fields }))));

describe('the secret of a PostgreSQL login', () => {
  test('may leave out what PostgreSQL has a default for, and is never without TLS unless it says so', () => {
    const { password, ...rest } = login({});
    expect(rest).toEqual({
      host: 'db.example',
      port: 5_432,
      dbname: 'postgres',
      username: 'billing_a',
      tls: true,
    });
    expect(password.reveal()).toBe('the-password');
  });

  test.each([
    ['engine', 'aurora-postgresql', {}],
    ['port', '6000', { port: 6_000 }],
    ['port', 1, { port: 1 }],
    ['port', 65_535, { port: 65_535 }],
    ['ssl', false, { tls: false }],
    ['ssl', 'false', { tls: false }],
    ['ssl', true, { tls: true }],
    ['ssl', 'true', { tls: true }],
    ['dbname', 'é'.repeat(31), { dbname: 'é'.repeat(31) }],
    ['username', 'x'.repeat(63), { username: 'x'.repeat(63) }],
  ])('may have %s: %j', (field, value, expected) => {
    expect(login({ [field]: value })).toMatchObject(expected);
  });

  test.each([
    ['engine', 'mysql', 'postgres or aurora-postgresql'],
    ['host', '', 'a host name or address'],
    ['host', undefined, 'a host name or address'],
    ['port', 0, 'a port number'],
    ['port', 65_536, 'a port number'],
    ['port', 5_432.5, 'a port number'],
    ['port', 'none', 'a port number'],
    ['dbname', '', 'the name of a database, at most 63 bytes'],
    ['dbname', 'é'.repeat(32), 'the name of a database, at most 63 bytes'],
    ['username', '', 'the name of a login, at most 63 bytes'],
    ['username', 'x'.repeat(64), 'the name of a login, at most 63 bytes'],
    ['username', 'half\ud800', 'the name of a login, at most 63 bytes'],
    ['username', 'nul\0', 'the name of a login, at most 63 bytes'],
    ['password', '', 'text'],
    ['password', 7, 'text'],
    ['ssl', 'no', 'true or false'],
  ])('with %s: %j is refused by an error that names the field, and no value', (field, value, expects) => {
    expect(() => login({ [field]: value })).toThrow(
      expect.objectContaining({
        name: 'InvalidSecretError',
        field,
        message: `Secret field ${field}: expected ${expects}`,
      }),
    );
  });
});

test('two logins are of the same server where host and port are, in whatever case the host is written', () => {
  expect(sameServer(login({}), login({ host: 'DB.example', dbname: 'other' }))).toBe(true);
  expect(sameServer(login({ host: 'DB.example' }), login({}))).toBe(true);
  expect(sameServer(login({}), login({ port: 6_000 }))).toBe(false);
  expect(sameServer(login({}), login({ host: 'db2.example' }))).toBe(false);
});

test.each(['db9', 'constructor', '__proto__', ''])('an engine that nobody knows is refused: %j', (engine) => {
  expect(() => rotatorOf(engine)).toThrow('Secret field engine: expected one of postgres, aurora-postgresql');
});

test('Aurora is rotated as PostgreSQL is', () => {
  expect(rotatorOf('aurora-postgresql')).toBe(rotatorOf('postgres'));
});
