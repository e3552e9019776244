import type { Postgres } from '../postgres/server.ts';

/** Has the server turn a login away, whatever its password: no rotation can mend that, and testSecret finds it out. */
export async function turnAway(postgres: Postgres, login: string): Promise<void> {
  await postgres.query(`CREATE FUNCTION public.turned_away() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN IF session_user = '${login}' THEN RAISE 'not today'; END IF; END $$;
    CREATE EVENT TRIGGER turned_away ON login EXECUTE FUNCTION public.turned_away()`);
}

export async function letIn(postgres: Postgres): Promise<void> {
  await postgres.query('DROP EVENT TRIGGER turned_away; DROP FUNCTION public.turned_away()');
}
