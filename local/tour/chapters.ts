import { UpdateSecretVersionStageCommand } from '@aws-sdk/client-secrets-manager';
import type { RunningAgent } from './fleet.ts';
import {
  arrived,
  checkHealth,
  currentLogin,
  expectThat,
  labelsOf,
  mirrorHolds,
  rotateNow,
  type Tour,
  takes,
} from './tour.ts';
import { letIn, turnAway } from './turned-away.ts';

/** One rotation of an agent, asked for by hand. */
export async function rotateByHand(tour: Tour, running: RunningAgent): Promise<void> {
  const { agent } = running;
  const before = await currentLogin(tour, agent);
  await expectThat(tour, `${agent.id}: rotated by hand, and adopted`, async () => {
    await arrived(tour, running, await rotateNow(tour, agent), before);
    return true;
  });
}

/** Thirty days pass in Secrets Manager's clock, and every agent's schedule fires. */
export async function rotateBySchedule(tour: Tour): Promise<void> {
  const { fleet, stack, say } = tour;
  const before = await Promise.all(fleet.map(({ agent }) => currentLogin(tour, agent)));
  say('the clock is advanced by 30 days');
  await fetch(`${stack.endpoint}/_keyturn/clock`, {
    method: 'POST',
    body: JSON.stringify({ advanceMs: 30 * 86_400_000 }),
  });
  await Promise.all(
    fleet.map(async (running, index) => {
      const { agent } = running;
      const old = before[index] ?? { username: '', password: '', versionId: '' };
      await expectThat(tour, `${agent.id}: rotated by its schedule, and adopted`, async () => {
        const { versionId } = await currentLogin(tour, agent);
        if (versionId === old.versionId) return false;
        await arrived(tour, running, versionId, old);
        return true;
      });
    }),
  );
}

/** Somebody has the database turn the next login away: testSecret finds out, and the agent notices nothing. */
export async function failAtTestSecret(tour: Tour, running: RunningAgent): Promise<void> {
  const { agent, queries } = running;
  const { stack, feed, clients, say } = tour;
  const before = await currentLogin(tour, agent);
  const next = before.username === `${agent.id}_a` ? `${agent.id}_b` : `${agent.id}_a`;
  const failedBefore = queries.failed;
  say(`${agent.id}: the database turns ${next} away, on purpose`);
  await turnAway(stack.postgres, next);
  const abandoned = await rotateNow(tour, agent);
  await expectThat(
    tour,
    `${agent.id}: a rotation to a login that the database turns away fails at testSecret`,
    async () =>
      feed.events.some(
        ({ type, detail }) =>
          type === 'Rotation Failed' && detail.rotationId === abandoned && detail.step === 'testSecret',
      ),
  );
  await expectThat(tour, `${agent.id}: on-call is told of the failed rotation`, async () =>
    feed.alerts.some(({ backend, state }) => backend === `rotation:${agent.secret}` && state === 'failed'),
  );
  await stack.secretsManager.engine.idle();
  const after = await currentLogin(tour, agent);
  await expectThat(
    tour,
    `${agent.id}: the failed rotation left the agent untouched`,
    async () =>
      after.versionId === before.versionId &&
      running.queries.failed === failedBefore &&
      (await takes(tour, before)),
  );
  say(`${agent.id}: the database lets it in, the abandoned version is let go, and it rotates again`);
  await letIn(stack.postgres);
  if ((await labelsOf(tour, agent))[abandoned]?.includes('AWSPENDING')) {
    await clients.secretsManager.send(
      new UpdateSecretVersionStageCommand({
        SecretId: agent.secretArn,
        VersionStage: 'AWSPENDING',
        RemoveFromVersionId: abandoned,
      }),
    );
  }
  say(`${agent.id}: the new rotation waits 20 s, until the abandoned one can't move AWSCURRENT any more`);
  await rotateByHand(tour, running);
  await expectThat(tour, `${agent.id}: on-call is told that it rotates again`, async () =>
    feed.alerts.some(({ backend, state }) => backend === `rotation:${agent.secret}` && state === 'recovered'),
  );
}

/** Vault is sealed while a rotation goes through: the agent doesn't need it, on-call hears of it, the mirror waits. */
export async function sealVault(tour: Tour, running: RunningAgent, unsealKey: string): Promise<void> {
  const { agent } = running;
  const { stack, feed, say } = tour;
  const heard = (state: string) =>
    feed.alerts.filter((alert) => alert.backend === 'vault' && alert.state === state).length;
  say('Vault is sealed');
  await stack.openBao.seal();
  await expectThat(tour, 'Vault sealed: one alert', async () => {
    await checkHealth(tour);
    return heard('unhealthy') === 1;
  });
  const before = await currentLogin(tour, agent);
  const versionId = await rotateNow(tour, agent);
  await expectThat(tour, `${agent.id}: rotated while Vault is sealed`, async () => {
    await arrived(tour, running, versionId, before, { mirror: false });
    return true;
  });
  say('Vault is unsealed');
  await stack.openBao.unseal(unsealKey);
  await expectThat(
    tour,
    `${agent.id}: its mirror catches up`,
    () => mirrorHolds(tour, agent, versionId),
    120_000,
  );
  await expectThat(tour, 'Vault unsealed: one recovery', async () => {
    await checkHealth(tour);
    return heard('recovered') === 1;
  });
  await expectThat(tour, 'no second alert for the same episode', async () => heard('unhealthy') === 1);
}

/** The grace periods end: what was superseded is refused, what is current works. Gives how many logins are refused. */
export async function graceEnds(tour: Tour, timeoutMs: number): Promise<number> {
  const { fleet, superseded, say } = tour;
  const current = await Promise.all(fleet.map(({ agent }) => currentLogin(tour, agent)));
  say('waiting for the grace periods to end');
  const refused = async () => {
    const taken = await Promise.all(superseded.map((login) => takes(tour, login)));
    return taken.filter((isTaken) => !isTaken).length;
  };
  await expectThat(
    tour,
    'every superseded login is refused when its grace period has ended',
    async () => (await refused()) === superseded.length,
    timeoutMs,
  );
  await expectThat(tour, 'every current login works', async () =>
    (await Promise.all(current.map((login) => takes(tour, login)))).every(Boolean),
  );
  await expectThat(tour, '"Secret Adopted" is on the bus for every agent', async () =>
    fleet.every(({ agent }) =>
      tour.feed.events.some(
        ({ type, detail }) => type === 'Secret Adopted' && detail.secret === agent.secret,
      ),
    ),
  );
  await expectThat(tour, '"Credential Revoked" is on the bus', async () =>
    tour.feed.events.some(({ type }) => type === 'Credential Revoked'),
  );
  return refused();
}
