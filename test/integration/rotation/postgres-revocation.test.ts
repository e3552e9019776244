import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import { postgres } from '../../../shared/rotators/postgres/postgres.ts';
import { marking } from '../../../shared/rotators/postgres/roles.ts';
import type { Revocation } from '../../../shared/rotators/rotator.ts';
import {
  adminOf,
  agentOn,
  asAgent,
  graceEnded,
  loginOn,
  postgresForTests,
  secretJson,
  untroubled,
} from './setting.ts';

const versionOne = untroubled.version;
const versionTwo = {
  secretArn: versionOne.secretArn,
  versionId: '22222222-2222-4222-8222-222222222222',
  createdAt: new Date('2026-01-01T00:00:01.002Z'),
};

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

const apply = (current: SecretJson, pending: SecretJson, version = versionOne) =>
  postgres.apply({ ...untroubled, current, pending, admin: adminOf(server), version });

/** A session of the login that is under way, and how it ends. */
async function openSession(login: SecretJson): Promise<{ readonly end: Promise<'finished' | 'ended'> }> {
  const end = asAgent(login, 'SELECT pg_sleep(10)').then(
    () => 'finished' as const,
    () => 'ended' as const,
  );
  const { username } = login.reveal();
  await expect
    .poll(() => server.query(`SELECT FROM pg_stat_activity WHERE usename = '${username}'`))
    .toHaveLength(1);
  return { end };
}

describe('at the end of the grace period', () => {
  const revoke = (
    superseded: SecretJson,
    kept: SecretJson[],
    versions: string[],
    earlier: () => Promise<SecretJson[]> = async () => [],
    more: Partial<Revocation> = {},
  ) =>
    postgres.revoke({
      ...graceEnded,
      superseded,
      kept,
      admin: adminOf(server),
      supersededVersionIds: new Set(versions),
      earlier,
      ...more,
    });

  it('the superseded login is refused, its open sessions end, and its twin works', async () => {
    const current = await agentOn(server, 'ended');
    const pending = postgres.stage(current, 'dual-user');
    await apply(current, pending);
    const session = await openSession(current);
    await expect(revoke(current, [pending], [])).resolves.toBe('revoked');
    expect(await session.end).toBe('ended');
    await expect(postgres.verify(current)).rejects.toMatchObject({ name: 'CredentialRefusedError' });
    await postgres.verify(pending);
    await expect(revoke(current, [pending], [])).resolves.toBe('revoked');
  });

  it('a login that a newer rotation has taken is left alone', async () => {
    const first = await agentOn(server, 'taken');
    const second = postgres.stage(first, 'dual-user');
    await apply(first, second, versionOne);
    const third = postgres.stage(second, 'dual-user');
    await apply(second, third, versionTwo);
    await expect(revoke(first, [second], [versionOne.versionId])).resolves.toBe('in use');
    await postgres.verify(third);
  });

  describe('a login that a rotation holds which was given up', () => {
    /** AWSCURRENT is the first; the twin holds what was made after it. */
    async function givenUp(name: string) {
      const current = await agentOn(server, name);
      const twin = postgres.stage(current, 'dual-user');
      await apply(current, twin);
      const asked: string[] = [];
      const revokeTwin = (isAbandoned: (versionId: string) => Promise<boolean>) =>
        revoke(twin, [current], [versionOne.versionId], undefined, {
          currentCreatedAt: new Date(versionOne.createdAt.getTime() - 1),
          isAbandoned: (versionId) => {
            asked.push(versionId);
            return isAbandoned(versionId);
          },
        });
      return { current, twin, asked, revokeTwin };
    }

    it('is refused once that can move AWSCURRENT no more', async () => {
      const { twin, asked, revokeTwin } = await givenUp('given_up');
      const untilThen: string[] = [];
      expect(
        await revokeTwin(async () => {
          await postgres.verify(twin);
          untilThen.push('works');
          return true;
        }),
      ).toBe('revoked');
      expect([asked, untilThen]).toEqual([[versionOne.versionId], ['works']]);
      await expect(postgres.verify(twin)).rejects.toMatchObject({ name: 'CredentialRefusedError' });
    });

    it('is left alone where that has moved AWSCURRENT to it', async () => {
      const { twin, revokeTwin } = await givenUp('undercut');
      expect(await revokeTwin(async () => false)).toBe('in use');
      await postgres.verify(twin);
    });

    it('is left alone where the next rotation has taken it meanwhile', async () => {
      const { current, revokeTwin } = await givenUp('retaken');
      const next = postgres.stage(current, 'dual-user');
      const outcome = revokeTwin(async () => {
        const currentCreatedAt = new Date(versionOne.createdAt.getTime() - 1);
        const ensureAbandoned = async () => undefined;
        await postgres.apply({
          ...untroubled,
          current,
          pending: next,
          admin: adminOf(server),
          version: versionTwo,
          currentCreatedAt,
          ensureAbandoned,
        });
        return true;
      });
      expect(await outcome).toBe('in use');
      await postgres.verify(next);
    });
  });

  describe("somebody else's login that a version names", () => {
    const victims = {
      'one that no rotation made': async () => {
        await server.query(`CREATE ROLE payroll LOGIN PASSWORD 'of-payroll'`);
        return loginOn(server, 'payroll', 'of-payroll');
      },
      'one of another secret, whose version has the same id': async () => {
        const victim = await agentOn(server, 'wages');
        const secretArn = `${versionOne.secretArn}-other`;
        await server.query(marking('wages_a', { ...versionOne, secretArn }));
        return victim;
      },
      "the admin's": async () => adminOf(server),
    };

    it.each(Object.entries(victims))('goes on working: %s', async (what, victimOf) => {
      const victim = await victimOf();
      const own = await agentOn(server, `greedy_${what.length}`);
      const kept = postgres.stage(own, 'dual-user');
      await apply(own, kept);
      await expect(revoke(victim, [kept], [versionOne.versionId])).rejects.toMatchObject({
        name: 'ConfusedDeputyError',
      });
      await asAgent(victim, 'SELECT 1');
    });
  });

  describe('of a twin, the login that was adopted before', () => {
    const versions = [versionOne.versionId];
    /** Rotated twice since it was adopted; nobody has revoked anything. */
    async function rotatedTwice(name: string) {
      await server.query(`CREATE ROLE ${name} LOGIN PASSWORD 'adopted'`);
      const adopted = loginOn(server, name, 'adopted');
      const first = postgres.stage(adopted, 'dual-user');
      await apply(adopted, first, versionOne);
      const second = postgres.stage(first, 'dual-user');
      await apply(first, second, versionTwo);
      return { adopted, first, second };
    }
    const isRefused = (login: SecretJson) =>
      expect(postgres.verify(login)).rejects.toMatchObject({ name: 'CredentialRefusedError' });

    it('is refused as well, and its sessions end; its twins are in the group as before', async () => {
      const { adopted, first, second } = await rotatedTwice('missed');
      const session = await openSession(adopted);
      expect(await revoke(first, [second], versions, async () => [first, adopted])).toBe('revoked');
      await isRefused(adopted);
      await isRefused(first);
      expect(await session.end).toBe('ended');
      await postgres.verify(second);
    });

    it('has its sessions ended by a repeat, where the first run was killed before', async () => {
      const { adopted, first, second } = await rotatedTwice('lingers');
      const session = await openSession(adopted);
      await server.query('ALTER ROLE lingers NOLOGIN PASSWORD NULL');
      await revoke(first, [second], versions, async () => [first, adopted]);
      expect(await session.end).toBe('ended');
    });

    it('goes on working while it is in use, or in a grace period of its own', async () => {
      const { adopted, first, second } = await rotatedTwice('rolledback');
      expect(await revoke(first, [second, adopted], versions, async () => [first, adopted])).toBe('revoked');
      await postgres.verify(adopted);
    });

    it('goes on working where a version holds it that the labels do not call superseded', async () => {
      const { adopted, first, second } = await rotatedTwice('marked');
      await server.query(`COMMENT ON ROLE marked IS 'keyturn:${versionTwo.versionId}'`);
      await revoke(first, [second], versions, async () => [first, adopted]);
      await postgres.verify(adopted);
    });

    it('is left alone where this secret never held it, on this server', async () => {
      const { adopted, first, second } = await rotatedTwice('foreign_one');
      const elsewhere = adopted.with({ host: 'elsewhere.example' });
      const unreadable = secretJson({ note: 'of another kind' });
      await revoke(first, [second], versions, async () => [first, elsewhere, unreadable]);
      await postgres.verify(adopted);
    });

    it('is not missed where somebody has dropped the group', async () => {
      const current = await agentOn(server, 'without');
      await server.query('DROP OWNED BY without; DROP ROLE without');
      await server.query(marking('without_a', versionOne));
      expect(await revoke(current, [], versions)).toBe('revoked');
      await isRefused(current);
    });

    it('costs no read of other versions where there is none', async () => {
      const current = await agentOn(server, 'provisioned');
      const pending = postgres.stage(current, 'dual-user');
      await apply(current, pending);
      const read = vi.fn(async () => []);
      expect(await revoke(current, [pending], [], read)).toBe('revoked');
      expect(read).not.toHaveBeenCalled();
    });
  });

  it('a login of the current version is left alone, whatever is asked', async () => {
    const current = await agentOn(server, 'kept');
    await expect(revoke(current, [current], [])).resolves.toBe('in use');
    await postgres.verify(current);
  });
});
