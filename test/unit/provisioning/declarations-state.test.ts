import { ConditionalCheckFailedException, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, PutCommand, ScanCommand } from '@aws-sdk/lib-dynamodb';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { readDeclaration } from '../../../shared/provisioning/declaration.ts';
import { declarationsState } from '../../../shared/provisioning/declarations-state.ts';

const dynamo = mockClient(DynamoDBDocumentClient);
afterAll(() => dynamo.restore());
beforeEach(() => dynamo.reset());

const state = declarationsState(new DynamoDBClient({ region: 'eu-central-1' }), 'declarations');
const billing = readDeclaration({ agentId: 'billing', grace: '2h' });

test('what was applied is read as it was declared', async () => {
  dynamo.on(PutCommand).resolves({});
  await state.write({ revision: 0, phase: 'declared', declaration: billing });
  const [put] = dynamo.commandCalls(PutCommand);
  const Item = put?.args[0].input.Item ?? {};
  expect(Item).toMatchObject({ agentId: 'billing', revision: 1 });
  dynamo.on(GetCommand, { Key: { agentId: 'billing' } }).resolves({ Item });
  expect(await state.read('billing')).toEqual({ revision: 1, phase: 'declared', declaration: billing });
});

test('an agent that nobody declared is not known', async () => {
  dynamo.on(GetCommand).resolves({});
  expect(await state.read('nobody')).toBeUndefined();
});

test('a write that another run came before is refused by name', async () => {
  dynamo.on(PutCommand).rejects(new ConditionalCheckFailedException({ message: '', $metadata: {} }));
  await expect(state.write({ revision: 1, phase: 'ending', declaration: billing })).rejects.toMatchObject({
    name: 'DeclarationContendedError',
  });
});

test('all are listed over every page, and one that can not be read hides no other', async () => {
  const item = (agentId: string) => ({
    agentId,
    revision: 1,
    phase: 'declared',
    declaration: readDeclaration({ agentId }),
  });
  dynamo
    .on(ScanCommand)
    .resolvesOnce({
      Items: [item('a'), { agentId: 'old', revision: 1 }],
      LastEvaluatedKey: { agentId: 'a' },
    })
    .resolvesOnce({ Items: [item('b')] });
  const { known, unreadable } = await state.list();
  expect(known.map(({ declaration }) => declaration.agentId)).toEqual(['a', 'b']);
  expect(unreadable).toEqual(['old']);
});
