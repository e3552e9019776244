import { expect, it } from 'vitest';
import { newestVersionIds } from '../../../shared/labels/read.ts';
import { clientOf } from '../../integration/rotation/in-process.ts';
import { engineUnderTest } from '../secrets-manager/engine-under-test.ts';

it('the newest versions are found on whichever page Secrets Manager lists them', async () => {
  const { engine, clock } = engineUnderTest();
  const SecretId = 'agents/a/credentials';
  const { VersionId = '' } = await engine.CreateSecret({ Name: SecretId, SecretString: '{}' });
  const made = [VersionId];
  while (made.length < 103) {
    clock.advance(1_000);
    made.push((await engine.PutSecretValue({ SecretId, SecretString: '{}' })).VersionId);
  }
  const { NextToken } = await engine.ListSecretVersionIds({ SecretId, IncludeDeprecated: true });
  expect(NextToken).toBe('100');
  expect(await newestVersionIds(clientOf(engine), SecretId, 10)).toEqual(made.toReversed().slice(0, 10));
});
