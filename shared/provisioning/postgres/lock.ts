import type { Connection } from '../../rotators/postgres/connection.ts';
import { lockGroup } from '../../rotators/postgres/roles.ts';

/**
 * One agent's roles are altered by one transaction at a time, and so are privileges in one database: PostgreSQL keeps all privileges
 * on a table in one row, and of two agents' grants at the same time refuses one. Held until the transaction ends.
 */
export async function lockAgent(connection: Connection, agentId: string): Promise<void> {
  await connection.query(`SELECT pg_advisory_xact_lock(hashtextextended('keyturn privileges', 0))`);
  await lockGroup(connection, agentId);
}
