import { describe, expect, it } from 'vitest';
import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import { createClock } from '../../../local/secrets-manager/clock.ts';
import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { clientOf, putSecrets, witness } from './in-process.ts';
import { adminOf, agentOn, asAgent, postgresForTests } from './setting.ts';

const minuteMs = 60_000;

/** A rotation whose finishSecret is under way when somebody takes AWSPENDING off it and asks for the next. */
async function givenUpAtTheEnd(server: Awaited<ReturnType<typeof postgresForTests>>) {
  const clock = createClock();
  const { parts } = witness();
  const pauses: number[] = [];
  let [beforeSetSecret, inPause] = [async () => {}, async () => {}];
  const steps = {
    ...parts,
    now: clock.now,
    pause: async (ms: number) => {
      pauses.push(ms);
      await inPause();
      clock.advance(ms);
    },
  };
  let isOn = false;
  const engine: Engine = createEngine({
    now: clock.now,
    attempts: 1,
    invoke: async (_, event) => {
      if (!isOn) throw new Error('the test takes the steps');
      if (event.Step === 'setSecret') await beforeSetSecret();
      await rotateSecret(event, { ...steps, secretsManager: clientOf(engine) });
    },
  });
  const SecretId = await putSecrets(engine, { agent: await agentOn(server, 'late'), admin: adminOf(server) });
  clock.advance(minuteMs);
  const RotationLambdaARN = 'arn:aws:lambda:eu-central-1:000000000000:function:rotate';
  const { VersionId: first = '' } = await engine.RotateSecret({ SecretId, RotationLambdaARN });
  await engine.idle();
  const take = (Step: string, secretsManager = clientOf(engine)) =>
    rotateSecret({ Step, SecretId, ClientRequestToken: first }, { ...steps, secretsManager });
  for (const step of ['createSecret', 'setSecret', 'testSecret']) await take(step);

  const sent = Promise.withResolvers<void>();
  const arrives = Promise.withResolvers<void>();
  const finishing = take(
    'finishSecret',
    clientOf({
      ...engine,
      async UpdateSecretVersionStage(request) {
        sent.resolve();
        await arrives.promise;
        return engine.UpdateSecretVersionStage(request);
      },
    }),
  );
  await sent.promise;
  clock.advance(minuteMs);
  await engine.UpdateSecretVersionStage({ SecretId, VersionStage: 'AWSPENDING', RemoveFromVersionId: first });
  isOn = true;
  return {
    pauses,
    first,
    async finishes() {
      arrives.resolve();
      await finishing;
    },
    async rotate(
      meanwhile: { beforeSetSecret?: () => Promise<void>; whileItWaits?: () => Promise<void> } = {},
    ) {
      ({ beforeSetSecret = beforeSetSecret, whileItWaits: inPause = inPause } = meanwhile);
      const { VersionId } = await engine.RotateSecret({ SecretId });
      await engine.idle();
      return { next: VersionId, state: engine.rotationOf(SecretId)?.state };
    },
    async current() {
      const { SecretString = '', VersionId } = await engine.GetSecretValue({ SecretId });
      await asAgent(SecretJson.parse(SecretValue.of(SecretString)), 'SELECT * FROM late_orders');
      return VersionId;
    },
  };
}

describe('a rotation that was given up while finishSecret was under way', () => {
  it('and moves AWSCURRENT even so keeps its login, though the next one is at setSecret by then', async () => {
    await using server = await postgresForTests();
    const { rotate, finishes, current, first, pauses } = await givenUpAtTheEnd(server);
    expect(await rotate({ whileItWaits: finishes })).toMatchObject({ state: 'failed' });
    expect(pauses).toHaveLength(1);
    expect(await current()).toBe(first);
  });

  it('and moves AWSCURRENT before the next one is at setSecret keeps its login too', async () => {
    await using server = await postgresForTests();
    const { rotate, finishes, current, first, pauses } = await givenUpAtTheEnd(server);
    expect(await rotate({ beforeSetSecret: finishes })).toMatchObject({ state: 'failed' });
    expect(pauses).toEqual([]);
    expect(await current()).toBe(first);
  });

  it('and whose call was lost is waited for as long as it could come, and no longer', async () => {
    await using server = await postgresForTests();
    const { rotate, current, pauses } = await givenUpAtTheEnd(server);
    const { next, state } = await rotate();
    expect(state).toBe('succeeded');
    expect(await current()).toBe(next);
    expect(pauses).toHaveLength(1);
    expect(pauses[0]).toBeGreaterThan(15_000);
    expect(pauses[0]).toBeLessThanOrEqual(20_000);
  });
});
