import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { queueName } from '../../../agent/invalidation-queue.ts';
import { agentPolicy } from '../../../shared/provisioning/iam/policy.ts';
import { type Asked, allows } from './policy-evaluation.ts';

const region = 'eu-central-1';
const key = `arn:aws:kms:${region}:123456789012:key/1b2c`;
const topic = `arn:aws:sns:${region}:123456789012:keyturn-prod-invalidations`;
const deployment = {
  stage: 'prod',
  busName: 'keyturn-prod',
  invalidationTopicArn: topic,
  secretsKeyArn: key,
};
const bus = `arn:aws:events:${region}:123456789012:event-bus/keyturn-prod`;
const arn = (service: string, resource: string) => `arn:aws:${service}:${region}:123456789012:${resource}`;
const secretOf = (agentId: string, name = 'credentials') =>
  arn('secretsmanager', `secret:agents/${agentId}/${name}-a1B2c3`);
const queueOf = (agentId: string) => arn('sqs', queueName(agentId, 'pod-1'));

// Ids that begin alike, and two that are alike in more than a queue's name can hold.
const long = 'a'.repeat(45);
const fleet = ['bill', 'billing', 'billing-2', `${long}-1`, `${long}-2`];

/** What an agent does, each with what it is done to: only the owner may. */
const readings = (owner: string): readonly Asked[] =>
  ['GetSecretValue', 'DescribeSecret'].map((verb) => ({
    action: `secretsmanager:${verb}`,
    resource: secretOf(owner),
    context: { 'aws:ResourceTag/agent_id': owner },
  }));
const doings = (owner: string): readonly Asked[] => [
  ...readings(owner),
  {
    action: 'kms:Decrypt',
    resource: key,
    context: {
      'kms:ViaService': `secretsmanager.${region}.amazonaws.com`,
      'kms:EncryptionContext:SecretARN': secretOf(owner),
    },
  },
  ...[
    'CreateQueue',
    'TagQueue',
    'GetQueueAttributes',
    'ListQueueTags',
    'ReceiveMessage',
    'DeleteMessage',
    'DeleteQueue',
  ].map((verb) => ({ action: `sqs:${verb}`, resource: queueOf(owner) })),
  {
    action: 'sns:Subscribe',
    resource: topic,
    context: { 'sns:Protocol': 'sqs', 'sns:Endpoint': queueOf(owner) },
  },
  {
    action: 'events:PutEvents',
    resource: bus,
    context: { 'events:source': `keyturn.agent.${owner}`, 'events:detail-type': 'Secret Adopted' },
  },
];

const asked = (agentId: string, request: Asked, role = agentId) =>
  allows(agentPolicy(agentId, deployment), {
    ...request,
    context: { ...request.context, 'aws:PrincipalTag/agent_id': role },
  });

describe.each(fleet)('the policy of %s', (agentId) => {
  test.each(doings(agentId))('lets it $action', (request) => {
    expect(asked(agentId, request)).toBe(true);
  });

  test.each(fleet.filter((other) => other !== agentId))(
    'lets it do nothing as %s, or to what is theirs',
    (other) => {
      expect(doings(other).filter((request) => asked(agentId, request))).toEqual([]);
      // The names of one with the tag of the other, each way.
      for (const { action } of readings(other)) {
        const [own, theirs] = [secretOf(agentId), secretOf(other)];
        expect(
          asked(agentId, { action, resource: own, context: { 'aws:ResourceTag/agent_id': other } }),
        ).toBe(false);
        expect(
          asked(agentId, { action, resource: theirs, context: { 'aws:ResourceTag/agent_id': agentId } }),
        ).toBe(false);
      }
    },
  );

  test('is of no use on a role without its tag', () => {
    for (const request of readings(agentId)) {
      expect(asked(agentId, request, 'somebody-else')).toBe(false);
      expect(allows(agentPolicy(agentId, deployment), request)).toBe(false);
    }
  });

  test('lets it write no secret, and neither act on the platform’s', () => {
    const context = { 'aws:ResourceTag/agent_id': agentId };
    const refused: readonly Asked[] = [
      ...[
        'PutSecretValue',
        'UpdateSecret',
        'UpdateSecretVersionStage',
        'DeleteSecret',
        'RotateSecret',
        'TagResource',
        'ListSecrets',
      ].map((verb) => ({ action: `secretsmanager:${verb}`, resource: secretOf(agentId), context })),
      {
        action: 'secretsmanager:GetSecretValue',
        resource: arn('secretsmanager', 'secret:keyturn/admin/db-a1B2c3'),
        context,
      },
      { action: 'secretsmanager:GetSecretValue', resource: secretOf('admin'), context },
      { action: 'kms:Decrypt', resource: key },
      {
        action: 'kms:Encrypt',
        resource: key,
        context: { 'kms:ViaService': `secretsmanager.${region}.amazonaws.com` },
      },
      {
        action: 'kms:Decrypt',
        resource: key,
        context: { 'kms:ViaService': `secretsmanager.${region}.amazonaws.com` },
      },
      { action: 'sqs:SetQueueAttributes', resource: queueOf(agentId) },
      { action: 'sqs:ReceiveMessage', resource: arn('sqs', 'keyturn-prod-dead-letters') },
      { action: 'sns:Publish', resource: topic },
      {
        action: 'sns:Subscribe',
        resource: topic,
        context: { 'sns:Protocol': 'https', 'sns:Endpoint': 'https://evil.example' },
      },
      ...['keyturn', `keyturn.agent.${agentId}.x`, 'aws.secretsmanager'].map((source) => ({
        action: 'events:PutEvents',
        resource: bus,
        context: { 'events:source': source, 'events:detail-type': 'Secret Adopted' },
      })),
      {
        action: 'events:PutEvents',
        resource: bus,
        context: { 'events:source': `keyturn.agent.${agentId}`, 'events:detail-type': 'Secret Rotated' },
      },
      { action: 'iam:PassRole', resource: '*' },
      { action: 'sts:AssumeRole', resource: '*' },
    ];
    expect(refused.filter((request) => asked(agentId, request))).toEqual([]);
  });
});

test('two agents, whatever their ids, have no queue in common', () => {
  const id = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,59}[a-z0-9])?$/);
  const alike = fc.tuple(id, id).map(([a, b]): [string, string] => [a, `${a}-${b}`.slice(0, 61)]);
  fc.assert(
    fc.property(fc.oneof(fc.tuple(id, id), alike), fc.string(), ([one, other], instance) => {
      fc.pre(one !== other);
      const resource = arn('sqs', queueName(other, instance));
      expect(queueName(other, instance)).toMatch(/^[\w-]{1,80}$/);
      expect(asked(one, { action: 'sqs:ReceiveMessage', resource })).toBe(false);
      expect(asked(other, { action: 'sqs:ReceiveMessage', resource })).toBe(true);
    }),
  );
});

test('China and GovCloud have their own ARNs and names of services', () => {
  const china = {
    ...deployment,
    invalidationTopicArn: topic.replace('arn:aws:sns:eu-central-1', 'arn:aws-cn:sns:cn-north-1'),
  };
  const text = JSON.stringify(agentPolicy('billing', china));
  expect(text).toContain('arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:agents/billing/*');
  expect(text).toContain('secretsmanager.cn-north-1.amazonaws.com.cn');
});
