import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgres } from '../../shared/rotators/postgres/postgres.ts';
import {
  adminOf,
  asAgent,
  graceEnded,
  loginOn,
  postgresForTests,
  untroubled,
} from '../integration/rotation/setting.ts';
import { shown } from './canary.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
  await server.query('CREATE TABLE untouched (id int)');
});
afterAll(() => server[Symbol.asyncDispose]());

const nasty = fc.constantFrom(
  '"',
  "'",
  '\\',
  ';',
  '--',
  '/*',
  '$$',
  '$1',
  '%s',
  '\n',
  '\t',
  ' ',
  '\u202e',
  'é',
  '🦊',
  'Ω',
  '_a',
  '',
);
const part = fc.oneof(
  nasty,
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constant('x"; DROP TABLE untouched; --'),
);
const name = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));

const bytes = (text: string) => Buffer.byteLength(text);
const roles = async () =>
  (await server.query('SELECT rolname FROM pg_roles ORDER BY 1')).map(({ rolname }) => String(rolname));

/** As an operator would make the login by hand, with pg's own quoting. */
async function made(group: string): Promise<void> {
  const [owner, login] = [group, `${group}_a`].map((role) => pg.escapeIdentifier(role));
  await server.query(
    `CREATE ROLE ${owner} NOLOGIN; CREATE ROLE ${login} LOGIN PASSWORD 'first' IN ROLE ${owner};
     ALTER ROLE ${login} SET role = ${pg.escapeLiteral(group)}`,
  );
}

it('a login of any name that PostgreSQL takes is rotated, verified and revoked, and no other role is touched', async () => {
  let rotated = 0;
  await fc.assert(
    fc.asyncProperty(name, async (text) => {
      rotated += 1;
      const group = `${text}${rotated}`;
      // Half of a surrogate pair and a NUL can't be in a name of PostgreSQL's at all: see below.
      fc.pre(text.isWellFormed() && !text.includes('\0') && bytes(group) <= 61);
      await made(group);
      const before = await roles();
      const current = loginOn(server, `${group}_a`, 'first');
      const pending = postgres.stage(current, 'dual-user');
      await postgres.apply({
        current,
        pending,
        admin: adminOf(server),
        ...untroubled,
      });
      await postgres.verify(pending);
      const [session] =
        (await asAgent(pending, 'SELECT session_user::text AS login, current_user::text AS role')) ?? [];
      expect(session).toEqual({ login: `${group}_b`, role: group });
      expect((await roles()).filter((role) => !before.includes(role))).toEqual([`${group}_b`]);
      const revocation = {
        ...graceEnded,
        superseded: current,
        kept: [pending],
        admin: adminOf(server),
      };
      expect(await postgres.revoke(revocation)).toBe('revoked');
      await expect(postgres.verify(current)).rejects.toMatchObject({ name: 'CredentialRefusedError' });
      await postgres.verify(pending);
    }),
    { numRuns: 60 },
  );
  expect(await server.query('SELECT count(*)::int AS rows FROM untouched')).toEqual([{ rows: 0 }]);
});

it.each([
  ['a NUL', 'ab\0c_a'],
  ['half a surrogate pair', 'ab\ud800_a'],
  ['64 bytes', `${'x'.repeat(62)}_a`],
  ['a twin of 64 bytes', 'x'.repeat(62)],
  ['64 bytes of few characters', `${'🦊'.repeat(16)}`],
  ['10,000 bytes', 'x'.repeat(10_000)],
  ['nothing', ''],
])('a name with %s is refused before a server is asked, and makes no role', async (_, username) => {
  const before = await roles();
  const connections = () => readFileSync(server.logFile, 'utf8').length;
  const logged = connections();
  const current = loginOn(server, username, 'a-password-5c1d');
  const refused = (() => {
    try {
      postgres.stage(current, 'dual-user');
    } catch (error) {
      return error;
    }
    return undefined;
  })();
  expect(refused).toMatchObject({ name: 'InvalidSecretError' });
  expect(shown(refused)).not.toContain('a-password-5c1d');
  expect(connections()).toBe(logged);
  expect(await roles()).toEqual(before);
});

it("a name that PostgreSQL would cut off is never another role's: 63 bytes of one name begin 70 of another", async () => {
  const other = 'y'.repeat(63);
  await server.query(`CREATE ROLE ${other} LOGIN PASSWORD 'of-another'`);
  const verify = postgres.verify(loginOn(server, `${other}-and-more`, 'of-another'));
  await expect(verify).rejects.toMatchObject({ name: 'InvalidSecretError' });
});
