import { expect, test } from 'vitest';
import { engineUnderTest, functionArn, rotate, token } from './engine-under-test.ts';

const SecretId = 'agents/a/credentials';
const RotationLambdaARN = functionArn;
const A_DAY = 24 * 3_600_000;

async function secretIn(aws: ReturnType<typeof engineUnderTest>): Promise<string> {
  const created = await aws.engine.CreateSecret({
    Name: SecretId,
    SecretString: 'one',
    ClientRequestToken: token('1'),
  });
  return created.ARN;
}

test('runs the four steps in order with one token, which is the version', async () => {
  const aws = engineUnderTest({ rotator: rotate });
  const arn = await secretIn(aws);
  const { VersionId } = await aws.engine.RotateSecret({
    SecretId,
    RotationLambdaARN,
    ClientRequestToken: token('2'),
  });
  expect(VersionId).toBe(token('2'));
  await aws.engine.idle();
  expect(aws.invoked).toEqual(
    ['createSecret', 'setSecret', 'testSecret', 'finishSecret'].map((Step) => ({
      Step,
      SecretId: arn,
      ClientRequestToken: token('2'),
    })),
  );
  const described = await aws.engine.DescribeSecret({ SecretId });
  expect(described).toMatchObject({
    RotationEnabled: true,
    LastRotatedDate: aws.clock.now(),
    VersionIdsToStages: { [token('1')]: ['AWSPREVIOUS'], [token('2')]: ['AWSPENDING', 'AWSCURRENT'] },
  });
});

test('answers before the first step, with AWSPENDING on an empty version', async () => {
  const aws = engineUnderTest({ rotator: rotate });
  await secretIn(aws);
  const before = aws.engine.RotateSecret({ SecretId, RotationLambdaARN, ClientRequestToken: token('2') });
  const described = aws.engine.DescribeSecret({ SecretId });
  const pending = aws.engine.GetSecretValue({ SecretId, VersionId: token('2'), VersionStage: 'AWSPENDING' });
  await expect(pending).rejects.toMatchObject({
    code: 'ResourceNotFoundException',
    message: `Secrets Manager can't find the specified secret value for VersionId: ${token('2')}`,
  });
  expect((await described).VersionIdsToStages).toMatchObject({ [token('2')]: ['AWSPENDING'] });
  await before;
  await aws.engine.idle();
});

test('begins a rotation that is asked for once the label moved, though finishSecret of the one before still runs', async () => {
  const answered = Promise.withResolvers<void>();
  const moved = Promise.withResolvers<void>();
  const aws = engineUnderTest({
    rotator: async (event, engine) => {
      await rotate(event, engine);
      if (event.Step !== 'finishSecret' || event.ClientRequestToken !== token('2')) return;
      moved.resolve();
      await answered.promise;
    },
  });
  const arn = await secretIn(aws);
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN, ClientRequestToken: token('2') });
  await moved.promise;
  await aws.engine.RotateSecret({ SecretId, ClientRequestToken: token('3') });
  answered.resolve();
  await aws.engine.idle();
  expect(aws.engine.rotationOf(arn)).toMatchObject({ token: token('3'), state: 'succeeded' });
});

test('stops at the first failing step, tries the whole again, and leaves AWSPENDING', async () => {
  const aws = engineUnderTest({
    attempts: 3,
    retryDelayMs: 60_000,
    rotator: async ({ Step }) => {
      if (Step === 'setSecret') throw new Error('the target refuses');
    },
  });
  const arn = await secretIn(aws);
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN, ClientRequestToken: token('2') });
  await aws.engine.idle();
  expect(aws.steps()).toEqual(Array(3).fill(['createSecret', 'setSecret']).flat());
  expect(new Set(aws.invoked.map((event) => event.ClientRequestToken))).toEqual(new Set([token('2')]));
  expect(aws.waits).toEqual([60_000, 60_000]);
  expect(aws.engine.rotationOf(arn)).toMatchObject({ state: 'failed', step: 'setSecret', attempts: 3 });
  const described = await aws.engine.DescribeSecret({ SecretId });
  expect(described.VersionIdsToStages).toEqual({
    [token('1')]: ['AWSCURRENT'],
    [token('2')]: ['AWSPENDING'],
  });
  expect(described).not.toHaveProperty('LastRotatedDate');
});

test('converges where a later attempt goes through', async () => {
  let failures = 1;
  const aws = engineUnderTest({
    rotator: async (event, engine) => {
      if (event.Step === 'testSecret' && failures-- > 0) throw new Error('not yet');
      await rotate(event, engine);
    },
  });
  const arn = await secretIn(aws);
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN });
  await aws.engine.idle();
  expect(aws.engine.rotationOf(arn)).toMatchObject({ state: 'succeeded', attempts: 2 });
});

test('calls a rotation that never moved AWSCURRENT failed', async () => {
  const aws = engineUnderTest({ attempts: 1 });
  const arn = await secretIn(aws);
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN });
  await aws.engine.idle();
  expect(aws.engine.rotationOf(arn)).toMatchObject({ state: 'failed', step: 'finishSecret' });
});

test('refuses a rotation while another is incomplete, and tries that one again', async () => {
  const broken = { is: true };
  const aws = engineUnderTest({
    attempts: 1,
    rotator: async (event, engine) => {
      if (broken.is) throw new Error('down');
      await rotate(event, engine);
    },
  });
  const arn = await secretIn(aws);
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN, ClientRequestToken: token('2') });
  const refused = () => aws.engine.RotateSecret({ SecretId, ClientRequestToken: token('3') });
  const refusal = {
    code: 'InvalidRequestException',
    message: "A previous rotation isn't complete. That rotation will be reattempted.",
  };
  await expect(refused()).rejects.toMatchObject(refusal);
  await aws.engine.idle();
  broken.is = false;
  await expect(refused()).rejects.toMatchObject(refusal);
  await aws.engine.idle();
  expect(aws.engine.rotationOf(arn)).toMatchObject({ state: 'succeeded', token: token('2') });
});

test('accepts a rotation sent again with its token, and runs it once', async () => {
  const aws = engineUnderTest({ rotator: rotate });
  await secretIn(aws);
  const request = { SecretId, RotationLambdaARN, ClientRequestToken: token('2') };
  await aws.engine.RotateSecret(request);
  await aws.engine.RotateSecret(request);
  await aws.engine.idle();
  await aws.engine.RotateSecret(request);
  await aws.engine.idle();
  expect(aws.invoked).toHaveLength(4);
});

test('with RotateImmediately=false runs testSecret only, on a version that vanishes', async () => {
  const aws = engineUnderTest();
  await secretIn(aws);
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN, RotateImmediately: false });
  await aws.engine.idle();
  expect(aws.steps()).toEqual(['testSecret']);
  const { Versions } = await aws.engine.ListSecretVersionIds({ SecretId, IncludeDeprecated: true });
  expect(Versions.map(({ VersionId }) => VersionId)).toEqual([token('1')]);
});

test('CancelRotateSecret ends a rotation after its step and leaves AWSPENDING', async () => {
  const aws = engineUnderTest({
    rotator: async ({ Step }, engine) => {
      if (Step === 'createSecret') await engine.CancelRotateSecret({ SecretId });
    },
  });
  const arn = await secretIn(aws);
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN, ClientRequestToken: token('2') });
  await aws.engine.idle();
  expect(aws.steps()).toEqual(['createSecret']);
  expect(aws.engine.rotationOf(arn)?.state).toBe('cancelled');
  expect(await aws.engine.DescribeSecret({ SecretId })).toMatchObject({
    RotationEnabled: false,
    VersionIdsToStages: { [token('2')]: ['AWSPENDING'] },
  });
});

test('a value written by hand abandons the rotation that runs', async () => {
  const aws = engineUnderTest({
    rotator: async ({ Step }, engine) => {
      if (Step === 'setSecret') await engine.PutSecretValue({ SecretId, SecretString: 'by hand' });
    },
  });
  const arn = await secretIn(aws);
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN, ClientRequestToken: token('2') });
  await aws.engine.idle();
  expect(aws.engine.rotationOf(arn)?.state).toBe('cancelled');
  const { VersionIdsToStages } = await aws.engine.DescribeSecret({ SecretId });
  expect(VersionIdsToStages).not.toHaveProperty(token('2'));
});

test('rotates once a window has opened, however far time has gone', async () => {
  const aws = engineUnderTest({ rotator: rotate });
  await secretIn(aws);
  const RotationRules = { ScheduleExpression: 'rate(10 days)' };
  await aws.engine.RotateSecret({ SecretId, RotationLambdaARN, RotationRules });
  await aws.engine.idle();
  aws.clock.advance(9 * A_DAY);
  await aws.engine.fireDueSchedules();
  expect(aws.invoked).toHaveLength(4);
  aws.clock.advance(25 * A_DAY);
  await aws.engine.fireDueSchedules();
  await aws.engine.fireDueSchedules();
  await aws.engine.idle();
  expect(aws.invoked).toHaveLength(8);
  const { NextRotationDate } = await aws.engine.DescribeSecret({ SecretId });
  expect(NextRotationDate).toEqual(new Date('2026-04-18T23:59:59Z'));
});

test('a schedule begins the incomplete rotation again, with its token', async () => {
  const aws = engineUnderTest({
    attempts: 1,
    rotator: async () => {
      throw new Error('down');
    },
  });
  await secretIn(aws);
  const RotationRules = { AutomaticallyAfterDays: 1 };
  await aws.engine.RotateSecret({
    SecretId,
    RotationLambdaARN,
    RotationRules,
    ClientRequestToken: token('2'),
  });
  await aws.engine.idle();
  aws.clock.advance(2 * A_DAY);
  await aws.engine.fireDueSchedules();
  await aws.engine.idle();
  expect(aws.invoked.map((event) => event.ClientRequestToken)).toEqual([token('2'), token('2')]);
});

test('needs a function the first time', async () => {
  const aws = engineUnderTest();
  await secretIn(aws);
  await expect(aws.engine.RotateSecret({ SecretId })).rejects.toMatchObject({
    code: 'InvalidRequestException',
  });
});
