import { dnsSuffixOf } from '../../aws/dns-suffix.ts';
import { agentQueuePrefix, agentSource, queueDigits } from '../../notification/agent-names.ts';

/** What a deployment's outputs say of where it is. */
export interface IamDeployment {
  readonly stage: string;
  readonly busName: string;
  readonly invalidationTopicArn: string;
  readonly secretsKeyArn: string;
}

export const iamPolicyName = (stage: string, agentId: string) => `keyturn-${stage}-agent-${agentId}`;

/**
 * What an agent may do in AWS: read secrets of its own name and tag, use queues of its own name and have them told of
 * invalidations, and say "Secret Adopted" under its own name. IAM sees an event's source and type, never its detail; so the source
 * names the agent, and whoever reads the event compares the two.
 *
 * The role must bear the tag `agent_id`: attached to another agent's role, by mistake, the policy reads no secret.
 */
export function agentPolicy(agentId: string, deployment: IamDeployment): object {
  const { busName, invalidationTopicArn, secretsKeyArn } = deployment;
  const [, partition = '', , region = '', account = ''] = invalidationTopicArn.split(':');
  const arn = (service: string, resource: string) =>
    `arn:${partition}:${service}:${region}:${account}:${resource}`;
  const secrets = arn('secretsmanager', `secret:agents/${agentId}/*`);
  // As many characters as there are: with `*`, the queues of `billing-2` would be those of `billing` too.
  const queues = arn('sqs', `${agentQueuePrefix(agentId)}${'?'.repeat(queueDigits)}`);
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'ReadItsSecrets',
        Effect: 'Allow',
        Action: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
        Resource: secrets,
        Condition: { StringEquals: { 'aws:ResourceTag/agent_id': `\${aws:PrincipalTag/agent_id}` } },
      },
      {
        Sid: 'DecryptThem',
        Effect: 'Allow',
        Action: 'kms:Decrypt',
        Resource: secretsKeyArn,
        Condition: {
          StringEquals: { 'kms:ViaService': `secretsmanager.${region}.${dnsSuffixOf(region)}` },
          StringLike: { 'kms:EncryptionContext:SecretARN': secrets },
        },
      },
      {
        Sid: 'UseItsQueues',
        Effect: 'Allow',
        Action: [
          'sqs:CreateQueue',
          'sqs:TagQueue',
          'sqs:GetQueueAttributes',
          'sqs:ListQueueTags',
          'sqs:ReceiveMessage',
          'sqs:DeleteMessage',
          'sqs:DeleteQueue',
        ],
        Resource: queues,
      },
      {
        // To sweep those of killed instances. AWS gives the action no resource: it tells the names of all queues.
        Sid: 'FindThoseLeftBehind',
        Effect: 'Allow',
        Action: 'sqs:ListQueues',
        Resource: '*',
      },
      {
        Sid: 'HearOfNewVersions',
        Effect: 'Allow',
        Action: 'sns:Subscribe',
        Resource: invalidationTopicArn,
        Condition: { StringEquals: { 'sns:Protocol': 'sqs' }, StringLike: { 'sns:Endpoint': queues } },
      },
      {
        // IAM knows the topic alone here. A subscription's ARN has a random part, which an agent learns of its own ones only.
        Sid: 'HearNoMore',
        Effect: 'Allow',
        Action: 'sns:Unsubscribe',
        Resource: invalidationTopicArn,
      },
      {
        Sid: 'SayWhatItAdopted',
        Effect: 'Allow',
        Action: 'events:PutEvents',
        Resource: arn('events', `event-bus/${busName}`),
        Condition: {
          StringEquals: { 'events:source': agentSource(agentId), 'events:detail-type': 'Secret Adopted' },
        },
      },
    ],
  };
}
