import { expect, it } from 'vitest';
import { connected } from '../../../shared/rotators/postgres/connection.ts';
import { postgresLogin } from '../../../shared/rotators/postgres/credential.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { lockGroup } from '../../../shared/rotators/postgres/roles.ts';
import { adminOf, agentOn, postgresForTests, untroubled } from './setting.ts';

it('a function that died in the middle of its transaction, and whose socket nobody closed, holds up the next one for seconds, not hours', async () => {
  await using server = await postgresForTests();
  const current = await agentOn(server, 'vanished');
  const admin = postgresLogin(adminOf(server));
  const { promise: begun, resolve: begins } = Promise.withResolvers<void>();
  const dead = connected(admin, async (connection) => {
    await connection.query('BEGIN');
    await lockGroup(connection, 'vanished');
    begins();
    await server.query('SELECT pg_sleep(7)');
    await connection.query('COMMIT');
  });
  const outcome = expect(dead).rejects.toMatchObject({ name: 'TargetUnreachableError' });
  await begun;
  await postgres.apply({
    current,
    pending: postgres.stage(current, 'dual-user'),
    admin: adminOf(server),
    ...untroubled,
  });
  await outcome;
});
