import pg from 'pg';
import { expect, it, vi } from 'vitest';
import { rotateSecret } from '../../../functions/rotate-secret/rotate-secret.ts';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { clientOf, putSecrets, rotatingEngine, witness } from './in-process.ts';
import { adminOf, agentOn, asAgent, postgresForTests } from './setting.ts';

it.each([
  ['dual-user', 'sees it'],
  ['single-user', 'sees it'],
  ['single-user', 'sees it as pending still'],
])(
  'a slow setSecret whose rotation was given up leaves the next one as it is: %s, and %s',
  async (strategy, sight) => {
    await using server = await postgresForTests();
    let [isOvertaken, isOn] = [false, false];
    const { parts } = witness();
    const engine = rotatingEngine({
      before: () => {
        if (!isOn) throw new Error('the test takes the steps');
      },
      dependencies: (all) => ({ ...parts, secretsManager: clientOf(all) }),
    });
    const SecretId = await putSecrets(engine, {
      agent: await agentOn(server, 'slow'),
      admin: adminOf(server),
      tags: { 'keyturn:strategy': strategy },
    });
    const RotationLambdaARN = 'arn:aws:lambda:eu-central-1:000000000000:function:rotate';
    const { VersionId: slow = '' } = await engine.RotateSecret({ SecretId, RotationLambdaARN });
    await engine.idle();
    const lags = () => isOvertaken && sight !== 'sees it';
    const secretsManager = clientOf({
      ...engine,
      async GetSecretValue(request) {
        const answer = await engine.GetSecretValue(request);
        if (!lags()) return answer;
        const VersionStages = answer.VersionStages?.map((stage) =>
          stage === 'AWSCURRENT' ? 'AWSPENDING' : stage,
        );
        return { ...answer, ...(VersionStages && { VersionStages }) };
      },
    });
    const take = (Step: string) =>
      rotateSecret({ Step, SecretId, ClientRequestToken: slow }, { ...parts, secretsManager });
    await take('createSecret');

    // It has read what it reads first, has logged in, and gets no further for a while.
    const { query } = pg.Client.prototype;
    using _ = vi.spyOn(pg.Client.prototype, 'query').mockImplementation(async function (
      this: pg.Client,
      ...asked
    ) {
      if (!isOvertaken && asked[0] === 'BEGIN') {
        isOvertaken = isOn = true;
        await engine.UpdateSecretVersionStage({
          SecretId,
          VersionStage: 'AWSPENDING',
          RemoveFromVersionId: slow,
        });
        await engine.RotateSecret({ SecretId });
        await engine.idle();
      }
      return Reflect.apply(query, this, asked);
    });
    await expect(take('setSecret')).rejects.toThrow();
    expect(isOvertaken).toBe(true);
    expect(engine.rotationOf(SecretId)).toMatchObject({ state: 'succeeded' });
    const { SecretString = '' } = await engine.GetSecretValue({ SecretId });
    await asAgent(SecretJson.parse(SecretValue.of(SecretString)), 'SELECT * FROM slow_orders');
  },
);
