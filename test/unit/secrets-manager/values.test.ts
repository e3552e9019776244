import { describe, expect, test } from 'vitest';
import { engineUnderTest, functionArn, token } from './engine-under-test.ts';

const SecretId = 'agents/a/credentials';
const A_DAY = 24 * 3_600_000;

async function withSecret(options: Parameters<typeof engineUnderTest>[0] = {}) {
  const aws = engineUnderTest(options);
  const { ARN } = await aws.engine.CreateSecret({
    Name: SecretId,
    SecretString: 'one',
    ClientRequestToken: token('1'),
  });
  const stages = async () => (await aws.engine.DescribeSecret({ SecretId })).VersionIdsToStages;
  return { ...aws, arn: ARN, stages };
}

describe('PutSecretValue', () => {
  test('without stages makes the version AWSCURRENT, and the one before AWSPREVIOUS', async () => {
    const { engine, stages } = await withSecret();
    await engine.PutSecretValue({ SecretId, SecretString: 'two', ClientRequestToken: token('2') });
    expect(await stages()).toEqual({ [token('1')]: ['AWSPREVIOUS'], [token('2')]: ['AWSCURRENT'] });
  });

  test('ignores the same token with the same value, and refuses it with another', async () => {
    const { engine, stages } = await withSecret();
    const put = {
      SecretId,
      SecretString: 'two',
      ClientRequestToken: token('2'),
      VersionStages: ['AWSPENDING'],
    };
    await engine.PutSecretValue(put);
    await engine.PutSecretValue({ ...put, VersionStages: ['AWSCURRENT'] });
    expect(await stages()).toMatchObject({ [token('2')]: ['AWSPENDING'] });
    const other = engine.PutSecretValue({ ...put, SecretString: 'three' });
    await expect(other).rejects.toMatchObject({ code: 'ResourceExistsException' });
    const value = await engine.GetSecretValue({ SecretId, VersionId: token('2') });
    expect(value.SecretString).toBe('two');
  });

  test('takes a label off the version that had it', async () => {
    const { engine, stages } = await withSecret();
    for (const letter of ['2', '3']) {
      const put = {
        SecretString: letter,
        ClientRequestToken: token(letter),
        VersionStages: ['AWSPENDING', 'blue'],
      };
      await engine.PutSecretValue({ SecretId, ...put });
    }
    expect(await stages()).toEqual({
      [token('1')]: ['AWSCURRENT'],
      [token('3')]: ['AWSPENDING', 'blue'],
    });
  });

  test('makes the first value AWSCURRENT whatever its stages', async () => {
    const { engine } = engineUnderTest();
    await engine.CreateSecret({ Name: 'empty' });
    const put = await engine.PutSecretValue({
      SecretId: 'empty',
      SecretString: 'one',
      VersionStages: ['blue'],
    });
    expect(put.VersionStages).toEqual(['blue', 'AWSCURRENT']);
  });

  test('takes 65,536 bytes and not one more', async () => {
    const { engine } = await withSecret();
    await engine.PutSecretValue({ SecretId, SecretString: 'ü'.repeat(32_768) });
    const larger = engine.PutSecretValue({ SecretId, SecretString: `${'ü'.repeat(32_768)}x` });
    await expect(larger).rejects.toMatchObject({ code: 'ValidationException' });
  });

  test.each([{}, { SecretString: 'a', SecretBinary: 'YQ==' }])('needs one value: %o', async (value) => {
    const { engine } = await withSecret();
    await expect(engine.PutSecretValue({ SecretId, ...value })).rejects.toMatchObject({
      code: expect.stringMatching(/^Invalid(Request|Parameter)Exception$/),
    });
  });
});

describe('GetSecretValue', () => {
  test('refuses an id and a label that name different versions', async () => {
    const { engine } = await withSecret();
    const read = engine.GetSecretValue({ SecretId, VersionId: token('1'), VersionStage: 'AWSPENDING' });
    await expect(read).rejects.toMatchObject({
      code: 'InvalidRequestException',
      message: 'You provided a VersionStage that is not associated to the provided VersionId.',
    });
  });

  test('finds a secret by name, ARN and ARN without its end', async () => {
    const { engine, arn } = await withSecret();
    expect(arn).toMatch(
      /^arn:aws:secretsmanager:us-east-1:000000000000:secret:agents\/a\/credentials-\w{6}$/,
    );
    for (const id of [SecretId, arn, arn.slice(0, -7)]) {
      expect((await engine.GetSecretValue({ SecretId: id })).SecretString).toBe('one');
    }
    await expect(engine.GetSecretValue({ SecretId: arn.slice(0, -9) })).rejects.toMatchObject({
      code: 'ResourceNotFoundException',
    });
  });

  test('answers several secrets at once, failures beside values', async () => {
    const { engine } = await withSecret();
    expect(await engine.BatchGetSecretValue({ SecretIdList: [SecretId, 'nowhere'] })).toMatchObject({
      SecretValues: [{ Name: SecretId, SecretString: 'one' }],
      Errors: [{ SecretId: 'nowhere', ErrorCode: 'ResourceNotFoundException' }],
    });
  });
});

describe('UpdateSecretVersionStage', () => {
  const promote = { SecretId, VersionStage: 'AWSCURRENT', MoveToVersionId: token('2') };

  async function withPending() {
    const aws = await withSecret();
    const put = { SecretString: 'two', ClientRequestToken: token('2'), VersionStages: ['AWSPENDING'] };
    await aws.engine.PutSecretValue({ SecretId, ...put });
    return aws;
  }

  test('moves AWSPREVIOUS with AWSCURRENT', async () => {
    const { engine, stages } = await withPending();
    await engine.UpdateSecretVersionStage({ ...promote, RemoveFromVersionId: token('1') });
    expect(await stages()).toEqual({
      [token('1')]: ['AWSPREVIOUS'],
      [token('2')]: ['AWSPENDING', 'AWSCURRENT'],
    });
  });

  test.each([
    ['a move that names no version to leave', promote],
    ['a move that names the wrong one', { ...promote, RemoveFromVersionId: token('2') }],
    ['taking AWSCURRENT away', { SecretId, VersionStage: 'AWSCURRENT', RemoveFromVersionId: token('1') }],
    ['neither version', { SecretId, VersionStage: 'AWSPENDING' }],
  ])('refuses %s', async (_what, request) => {
    const { engine, stages } = await withPending();
    await expect(engine.UpdateSecretVersionStage(request)).rejects.toMatchObject({
      code: 'InvalidParameterException',
    });
    expect(await stages()).toEqual({ [token('1')]: ['AWSCURRENT'], [token('2')]: ['AWSPENDING'] });
  });

  test('tells each label that moved, in order', async () => {
    const moved: string[] = [];
    const { engine } = await withSecret({
      onLabelMoved: ({ name, label, to }) => void moved.push(`${name} ${label} ${to[0]}`),
    });
    await engine.UpdateSecret({ SecretId, SecretString: 'two', ClientRequestToken: token('2') });
    expect(moved).toEqual([
      `${SecretId} AWSCURRENT 1`,
      `${SecretId} AWSCURRENT 2`,
      `${SecretId} AWSPREVIOUS 1`,
    ]);
  });
});

test('prunes unlabelled versions past a hundred, those younger than a day aside', async () => {
  const { engine, clock } = await withSecret();
  const versions = async () =>
    (await engine.ListSecretVersionIds({ SecretId, IncludeDeprecated: true, MaxResults: 100 })).NextToken;
  for (let count = 0; count < 110; count++)
    await engine.PutSecretValue({ SecretId, SecretString: `${count}` });
  expect(await versions()).toBe('100');
  clock.advance(A_DAY);
  await engine.PutSecretValue({ SecretId, SecretString: 'the next day' });
  const first = await engine.ListSecretVersionIds({ SecretId, IncludeDeprecated: true });
  const rest = await engine.ListSecretVersionIds({
    SecretId,
    IncludeDeprecated: true,
    NextToken: first.NextToken,
  });
  // A hundred deprecated ones, AWSCURRENT and AWSPREVIOUS.
  expect([...first.Versions, ...rest.Versions]).toHaveLength(102);
  expect((await engine.ListSecretVersionIds({ SecretId })).Versions).toHaveLength(2);
});

describe('DeleteSecret', () => {
  test('hides the secret until it is restored or its window is over', async () => {
    const { engine, clock } = await withSecret();
    await engine.DeleteSecret({ SecretId, RecoveryWindowInDays: 7 });
    for (const refused of [
      engine.GetSecretValue({ SecretId }),
      engine.PutSecretValue({ SecretId, SecretString: 'two' }),
      engine.RotateSecret({ SecretId, RotationLambdaARN: functionArn }),
      engine.CreateSecret({ Name: SecretId, SecretString: 'two' }),
    ]) {
      await expect(refused).rejects.toMatchObject({ code: 'InvalidRequestException' });
    }
    expect((await engine.ListSecrets({})).SecretList).toEqual([]);
    await engine.RestoreSecret({ SecretId });
    expect((await engine.GetSecretValue({ SecretId })).SecretString).toBe('one');
    await engine.DeleteSecret({ SecretId, RecoveryWindowInDays: 7 });
    clock.advance(7 * A_DAY);
    await expect(engine.DescribeSecret({ SecretId })).rejects.toMatchObject({
      code: 'ResourceNotFoundException',
    });
  });

  test('without recovery frees the name at once', async () => {
    const { engine } = await withSecret();
    await engine.DeleteSecret({ SecretId, ForceDeleteWithoutRecovery: true });
    await engine.CreateSecret({ Name: SecretId, SecretString: 'new' });
    expect((await engine.GetSecretValue({ SecretId })).SecretString).toBe('new');
  });
});

test('lists by filters, sorted, page by page', async () => {
  const { engine } = engineUnderTest();
  for (const name of ['agents/b/x', 'agents/a/x', 'admin/x']) {
    const Tags = [{ Key: 'agent_id', Value: name.split('/')[1] ?? '' }];
    await engine.CreateSecret({ Name: name, Description: `Login of ${name}`, Tags });
  }
  const names = async (request: Parameters<typeof engine.ListSecrets>[0]) =>
    (await engine.ListSecrets(request)).SecretList.map(({ Name }) => Name);
  expect(await names({ Filters: [{ Key: 'name', Values: ['agents/'] }], SortBy: 'name' })).toEqual([
    'agents/a/x',
    'agents/b/x',
  ]);
  expect(await names({ Filters: [{ Key: 'name', Values: ['!agents/'] }] })).toEqual(['admin/x']);
  expect(await names({ Filters: [{ Key: 'tag-value', Values: ['b'] }] })).toEqual(['agents/b/x']);
  expect(await names({ Filters: [{ Key: 'all', Values: ['ADMIN'] }] })).toEqual(['admin/x']);
  const page = await engine.ListSecrets({ MaxResults: 2 });
  expect(await names({ MaxResults: 2, NextToken: page.NextToken })).toEqual(['admin/x']);
});

test('creates a secret once where the request is sent again, or twice at the same time', async () => {
  const { engine, arn } = await withSecret();
  const again = { Name: SecretId, SecretString: 'one', ClientRequestToken: token('1') };
  expect((await engine.CreateSecret(again)).ARN).toBe(arn);
  const other = engine.CreateSecret({ ...again, SecretString: 'two' });
  await expect(other).rejects.toMatchObject({ code: 'ResourceExistsException' });
  const twice = [1, 2].map(() => engine.CreateSecret({ Name: 'new', SecretString: 'x' }));
  const results = await Promise.allSettled(twice);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
});
