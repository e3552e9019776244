import { expect, it } from 'vitest';
import { clientOf, putSecrets, rotatingEngine, witness } from './in-process.ts';
import { adminOf, agentOn, asAgent, postgresForTests } from './setting.ts';

it('a twin bears the version that it holds, though the read of AWSCURRENT at setSecret still shows the version before', async () => {
  await using server = await postgresForTests();
  let lags = false;
  const { parts } = witness();
  const engine = rotatingEngine({
    dependencies: (all) => ({
      ...parts,
      secretsManager: clientOf({
        ...all,
        async BatchGetSecretValue(request) {
          const answer = await all.BatchGetSecretValue(request);
          if (!lags) return answer;
          const { SecretString = '' } = await all.GetSecretValue({ SecretId, VersionStage: 'AWSPREVIOUS' });
          const SecretValues = answer.SecretValues?.map((value) =>
            value.ARN === SecretId && value.SecretString !== undefined ? { ...value, SecretString } : value,
          );
          return { ...answer, SecretValues };
        },
      }),
    }),
  });
  const SecretId = await putSecrets(engine, {
    agent: await agentOn(server, 'lagging'),
    admin: adminOf(server),
  });
  const RotationLambdaARN = 'arn:aws:lambda:eu-central-1:000000000000:function:rotate';
  await engine.RotateSecret({ SecretId, RotationLambdaARN });
  await engine.idle();
  lags = true;
  const { VersionId = '' } = await engine.RotateSecret({ SecretId });
  await engine.idle();
  expect(engine.rotationOf(SecretId)).toMatchObject({ token: VersionId, state: 'succeeded' });
  expect(
    await server.query(
      "SELECT shobj_description(oid, 'pg_authid') AS mark FROM pg_roles WHERE rolname = 'lagging_a'",
    ),
  ).toEqual([{ mark: expect.stringContaining(`keyturn:${VersionId} `) }]);
});

it('a login without a twin keeps its password where its rotation is given up between two reads', async () => {
  await using server = await postgresForTests();
  const { parts } = witness();
  let token = '';
  const engine = rotatingEngine({
    dependencies: (all) => ({
      ...parts,
      secretsManager: clientOf({
        ...all,
        async BatchGetSecretValue(request) {
          const answer = await all.BatchGetSecretValue(request);
          await all.UpdateSecretVersionStage({
            SecretId,
            VersionStage: 'AWSPENDING',
            RemoveFromVersionId: token,
          });
          return answer;
        },
      }),
    }),
  });
  const agent = await agentOn(server, 'alone');
  const SecretId = await putSecrets(engine, {
    agent,
    admin: adminOf(server),
    tags: { 'keyturn:strategy': 'single-user' },
  });
  const RotationLambdaARN = 'arn:aws:lambda:eu-central-1:000000000000:function:rotate';
  ({ VersionId: token = '' } = await engine.RotateSecret({ SecretId, RotationLambdaARN }));
  await engine.idle();
  expect(engine.rotationOf(SecretId)).toMatchObject({
    state: 'failed',
    step: 'setSecret',
    error: { name: 'NotPendingError' },
  });
  await asAgent(agent, 'SELECT 1');
});
