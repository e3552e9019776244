import {
  GetPolicyVersionCommand,
  type IAMClient,
  ListAttachedRolePoliciesCommand,
  ListPolicyVersionsCommand,
  SimulatePrincipalPolicyCommand,
} from '@aws-sdk/client-iam';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { queueName } from '../../../agent/invalidation-queue.ts';
import { planIam, planIamEnd } from '../../../shared/provisioning/iam/plan.ts';
import { agentPolicy } from '../../../shared/provisioning/iam/policy.ts';
import { account, arnOf, deployment, iamForTests, region, roleWithPolicyOf } from './iam-setting.ts';

let server: Awaited<ReturnType<typeof iamForTests>>;
let iam: IAMClient;
beforeAll(async () => {
  server = await iamForTests();
  ({ iam } = server);
});
afterAll(async () => server?.[Symbol.asyncDispose]());

const planned = (agentId: string, more = {}) =>
  planIam({ agentId }, { iam, deployment: { ...deployment, ...more } });
async function apply(agentId: string, more = {}): Promise<readonly string[]> {
  const changes = await planned(agentId, more);
  for (const change of changes) await change.apply();
  return changes.map(({ action, resource }) => `${action} ${resource}`);
}
const versions = async (agentId: string) =>
  (await iam.send(new ListPolicyVersionsCommand({ PolicyArn: arnOf(agentId) }))).Versions ?? [];

test('an agent’s policy is made once, and then there is nothing to do', async () => {
  expect(await apply('maker')).toEqual(['create policy keyturn-dev-agent-maker']);
  expect(await planned('maker')).toEqual([]);
});

test('a policy follows the deployment for as long as it likes, though IAM keeps five versions', async () => {
  await apply('mover');
  for (let n = 1; n <= 7; n += 1) {
    expect(await apply('mover', { busName: `bus-${n}` })).toEqual(['update policy keyturn-dev-agent-mover']);
    expect(await planned('mover', { busName: `bus-${n}` })).toEqual([]);
  }
  const kept = await versions('mover');
  expect(kept).toHaveLength(5);
  const { PolicyVersion } = await iam.send(
    new GetPolicyVersionCommand({
      PolicyArn: arnOf('mover'),
      VersionId: kept.find(({ IsDefaultVersion }) => IsDefaultVersion)?.VersionId,
    }),
  );
  expect(JSON.parse(decodeURIComponent(PolicyVersion?.Document ?? ''))).toEqual(
    agentPolicy('mover', { ...deployment, busName: 'bus-7' }),
  );
});

test('what would change is shown statement by statement', async () => {
  const published = (bus: string) =>
    `Allow events:PutEvents on arn:aws:events:${region}:${account}:event-bus/${bus} ` +
    'if {"StringEquals":{"events:source":"keyturn.agent.shown","events:detail-type":"Secret Adopted"}}';
  await apply('shown');
  const [change] = await planned('shown', { busName: 'other' });
  expect(change?.diff.filter((line) => !line.startsWith(' '))).toEqual([
    `- SayWhatItAdopted: ${published('keyturn-dev')}`,
    `+ SayWhatItAdopted: ${published('other')}`,
  ]);
});

test('the simulator lets each agent use its own queues, and nothing of another agent', async () => {
  const agents = ['bill', 'billing', 'billing-2'];
  for (const agent of agents) await apply(agent);
  for (const agent of agents) {
    const PolicySourceArn = await roleWithPolicyOf(agent, iam);
    const decide = async (action: string, resource: string) => {
      const command = { PolicySourceArn, ActionNames: [action], ResourceArns: [resource] };
      const { EvaluationResults = [] } = await iam.send(new SimulatePrincipalPolicyCommand(command));
      return EvaluationResults.map(({ EvalDecision }) => EvalDecision).join();
    };
    for (const owner of agents) {
      const queue = `arn:aws:sqs:${region}:${account}:${queueName(owner, 'pod-1')}`;
      const expected = owner === agent ? 'allowed' : 'implicitDeny';
      for (const verb of ['CreateQueue', 'ReceiveMessage', 'DeleteMessage', 'DeleteQueue']) {
        expect(await decide(`sqs:${verb}`, queue), `${agent}: ${verb} of ${owner}`).toBe(expected);
      }
      expect(await decide('sqs:SetQueueAttributes', queue)).toBe('implicitDeny');
      const secret = `arn:aws:secretsmanager:${region}:${account}:secret:agents/${owner}/credentials-a1B2c3`;
      // Without the tags that its condition asks for, not even its own.
      for (const verb of ['GetSecretValue', 'PutSecretValue', 'DeleteSecret']) {
        expect(await decide(`secretsmanager:${verb}`, secret)).toBe('implicitDeny');
      }
    }
  }
});

test('the policy is taken from the roles that have it, and is gone; a repeat finds nothing', async () => {
  await apply('leaving');
  await apply('leaving', { busName: 'other' });
  await roleWithPolicyOf('leaving', iam);
  const end = () => planIamEnd({ agentId: 'leaving' }, { iam, deployment });
  const changes = await end();
  expect(changes.map(({ action, resource }) => `${action} ${resource}`)).toEqual([
    'delete policy keyturn-dev-agent-leaving',
  ]);
  for (const change of changes) await change.apply();
  const { AttachedPolicies } = await iam.send(new ListAttachedRolePoliciesCommand({ RoleName: 'leaving' }));
  expect(AttachedPolicies).toEqual([]);
  expect(await end()).toEqual([]);
});
