import { expect, it } from 'vitest';
import { createEngine } from '../../../local/secrets-manager/engine.ts';
import { readCurrentOf } from '../../../shared/secrets-manager/versions.ts';
import { clientOf } from '../../integration/rotation/in-process.ts';

/** Secrets, and a client that notes how many values each of its calls asks for. */
async function secrets(count: number) {
  const engine = createEngine({ invoke: async () => undefined });
  const names = Array.from({ length: count }, (_, index) => `keyturn/admin/${index}`);
  const arns: string[] = [];
  for (const Name of names)
    arns.push((await engine.CreateSecret({ Name, SecretString: JSON.stringify({ Name }) })).ARN);
  const asked: number[] = [];
  const client = clientOf(engine, (_, { SecretIdList }) => {
    asked.push(Array.isArray(SecretIdList) ? SecretIdList.length : 0);
  });
  return { names, arns, asked, client };
}

it.each([
  [1, [1]],
  [20, [20]],
  [21, [20, 1]],
  [45, [20, 20, 5]],
])('the values of %i secrets are read, of which Secrets Manager gives 20 at once', async (count, calls) => {
  const { names, arns, asked, client } = await secrets(count);
  const values = await readCurrentOf(client, [...arns, ...arns]);
  expect(arns.map((arn) => values.get(arn)?.value.reveal().Name)).toEqual(names);
  expect(values.size).toBe(count);
  expect(asked).toEqual(calls);
});

it('one that is gone fails all, though it is not among the first 20', async () => {
  const { arns, client } = await secrets(20);
  const gone = 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:keyturn/admin/gone-AbCdEf';
  await expect(readCurrentOf(client, [...arns, gone])).rejects.toThrow('ResourceNotFoundException');
});
