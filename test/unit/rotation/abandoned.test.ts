import { describe, expect, it } from 'vitest';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { invalidRequest } from '../../../local/secrets-manager/errors.ts';
import { SecretJson } from '../../../shared/credential/secret-json.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { ensureAbandoned, isAbandoned } from '../../../shared/rotation/abandoned.ts';
import { clientOf } from '../../integration/rotation/in-process.ts';

const givenUp = '11111111-1111-4111-8111-111111111111';
const token = '22222222-2222-4222-8222-222222222222';
const createdAt = new Date('2026-01-01T00:00:00Z');

/** A rotation whose version is so old, after one that was given up. */
async function pendingFor(ageMs: number) {
  const engine = createEngine({ attempts: 1, invoke: () => Promise.reject(new Error('nothing is rotated')) });
  const SecretString = '{"password":"p"}';
  const { ARN: secretArn, VersionId: current = '' } = await engine.CreateSecret({
    Name: 'agents/a/credentials',
    SecretString,
  });
  const begin = (ClientRequestToken: string) =>
    engine.PutSecretValue({
      SecretId: secretArn,
      ClientRequestToken,
      SecretString,
      VersionStages: ['AWSPENDING'],
    });
  await begin(givenUp);
  await begin(token);
  const pauses: number[] = [];
  let inPause = async () => {};
  return {
    engine,
    pauses,
    meanwhile(happens: () => Promise<unknown>) {
      inPause = async () => void (await happens());
    },
    begin,
    finish: (MoveToVersionId: string) =>
      engine.UpdateSecretVersionStage({
        SecretId: secretArn,
        VersionStage: 'AWSCURRENT',
        RemoveFromVersionId: current,
        MoveToVersionId,
      }),
    isGivenUp: () =>
      isAbandoned(givenUp, secretArn, {
        secretsManager: clientOf(engine),
        pause: async (ms) => {
          pauses.push(ms);
          await inPause();
        },
      }),
    ensure: () =>
      ensureAbandoned(
        givenUp,
        { secretArn, token, rotationToken: undefined },
        {
          secretArn,
          versionId: token,
          createdAt,
          stages: [],
          value: SecretJson.parse(SecretValue.of(SecretString)),
        },
        {
          secretsManager: clientOf(engine),
          now: () => new Date(createdAt.getTime() + ageMs),
          isAdminSecret: () => false,
          pause: async (ms) => {
            pauses.push(ms);
            await inPause();
          },
        },
      ),
  };
}

it.each([
  ['that has just begun', 0, [20_000]],
  ['that began a while ago', 15_000, [5_000]],
  ['that began when the last call of the other could still come', 19_999, [1]],
  ['that began earlier', 20_000, []],
  ['of the future, by a clock that is off, which is not believed', -3_600_000, [20_000]],
])('waits for as long as the other may end: in a rotation %s', async (_, ageMs, waited) => {
  const { ensure, pauses } = await pendingFor(ageMs);
  await ensure();
  expect(pauses).toEqual(waited);
});

it('finds that the other has moved AWSCURRENT while it waited', async () => {
  const { ensure, meanwhile, finish } = await pendingFor(0);
  meanwhile(() => finish(givenUp));
  await expect(ensure()).rejects.toMatchObject({ name: 'OvertakenError' });
});

it('finds that it was given up itself while it waited', async () => {
  const { ensure, meanwhile, begin } = await pendingFor(0);
  meanwhile(() => begin('33333333-3333-4333-8333-333333333333'));
  await expect(ensure()).rejects.toMatchObject({ name: 'NotPendingError' });
});

it('says which call Secrets Manager refused', async () => {
  const { ensure, engine } = await pendingFor(0);
  Object.assign(engine, { DescribeSecret: () => Promise.reject(invalidRequest('no')) });
  await expect(ensure()).rejects.toThrow('DescribeSecret: InvalidRequestException');
});

describe('who revokes the login of a rotation that was given up', () => {
  it('waits for as long as that may end', async () => {
    const { isGivenUp, pauses } = await pendingFor(60_000);
    expect(await isGivenUp()).toBe(true);
    expect(pauses).toEqual([20_000]);
  });

  it('finds that it has moved AWSCURRENT while it waited', async () => {
    const { isGivenUp, meanwhile, finish } = await pendingFor(60_000);
    meanwhile(() => finish(givenUp));
    expect(await isGivenUp()).toBe(false);
  });
});
