import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SecretsManagerError } from '../../../local/secrets-manager/errors.ts';
import { CURRENT, PENDING, PREVIOUS } from '../../../local/secrets-manager/labels.ts';
import { engineUnderTest, functionArn, rotate, token } from './engine-under-test.ts';

const SecretId = 'agents/a/credentials';
const ids = ['1', '2', '3', '4'].map(token);
const version = fc.constantFrom(...ids);
const label = fc.constantFrom(CURRENT, PREVIOUS, PENDING, 'blue');
type Engine = ReturnType<typeof engineUnderTest>['engine'];

/** Anything a client may send, sensible or not. */
const action: fc.Arbitrary<(engine: Engine) => Promise<unknown>> = fc.oneof(
  fc
    .record({ id: version, stages: fc.uniqueArray(label, { minLength: 1 }), text: fc.string() })
    .map(({ id, stages, text }) => (engine: Engine) => {
      const value = { ClientRequestToken: id, SecretString: text, VersionStages: stages };
      return engine.PutSecretValue({ SecretId, ...value });
    }),
  fc
    .record({ label, to: fc.option(version), from: fc.option(version) })
    .map(({ label, to, from }) => (engine: Engine) => {
      const move = { MoveToVersionId: to ?? undefined, RemoveFromVersionId: from ?? undefined };
      return engine.UpdateSecretVersionStage({ SecretId, VersionStage: label, ...move });
    }),
  version.map((id) => (engine: Engine) => {
    return engine.UpdateSecret({ SecretId, SecretString: id, ClientRequestToken: id });
  }),
  version.map((id) => async (engine: Engine) => {
    await engine.RotateSecret({ SecretId, RotationLambdaARN: functionArn, ClientRequestToken: id });
    await engine.idle();
  }),
);

test('whatever is sent: one AWSCURRENT, never AWSPREVIOUS beside it, and each label on one version', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 12 }), async (actions) => {
      const { engine } = engineUnderTest({ rotator: rotate, attempts: 1 });
      await engine.CreateSecret({ Name: SecretId, SecretString: 'first', ClientRequestToken: token('0') });
      for (const act of actions) {
        await act(engine).catch((error: unknown) => {
          if (!(error instanceof SecretsManagerError)) throw error;
        });
        const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId });
        const carried = Object.values(VersionIdsToStages);
        expect(carried.flat().filter((own) => own === CURRENT)).toHaveLength(1);
        expect(new Set(carried.flat()).size).toBe(carried.flat().length);
        expect(carried.some((own) => own.includes(CURRENT) && own.includes(PREVIOUS))).toBe(false);
        expect((await engine.GetSecretValue({ SecretId })).SecretString).toBeDefined();
      }
    }),
    { numRuns: 300 },
  );
});
