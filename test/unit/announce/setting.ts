import {
  DescribeSecretCommand,
  ListSecretVersionIdsCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { mockClient } from 'aws-sdk-client-mock';

export const arn =
  'arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents/billing-7/credentials-a1B2c3';
export const name = 'agents/billing-7/credentials';
export const oldest = 'a5a5a5a5-0000-4000-8000-000000000000';
export const previous = 'a5a5a5a5-0000-4000-8000-000000000001';
export const current = 'a5a5a5a5-0000-4000-8000-000000000002';
export const pending = 'a5a5a5a5-0000-4000-8000-000000000003';
export const unknown = 'a5a5a5a5-0000-4000-8000-00000000000f';

export const client = new SecretsManagerClient();
export const secretsManager = mockClient(client);

/** A secret whose rotation made `current` at 08:59:58 and ended at 09:00:00, unless told otherwise. */
export function givenSecret({
  tags = {},
  stages = { [previous]: ['AWSPREVIOUS'], [current]: ['AWSCURRENT', 'AWSPENDING'] },
}: {
  tags?: Record<string, string | undefined>;
  stages?: Record<string, string[]>;
} = {}): void {
  const all = { managed_by: 'agent-platform', agent_id: 'billing-7', ...tags };
  secretsManager.reset();
  secretsManager.on(DescribeSecretCommand).resolves({
    ARN: arn,
    Name: name,
    Tags: Object.entries(all).flatMap(([Key, Value]) => (Value === undefined ? [] : { Key, Value })),
    VersionIdsToStages: stages,
    LastRotatedDate: new Date('2026-11-24T09:00:00Z'),
    LastChangedDate: new Date('2026-11-24T09:00:00Z'),
  });
  secretsManager
    .on(ListSecretVersionIdsCommand)
    .resolves({ Versions: [{ VersionId: current, CreatedDate: new Date('2026-11-24T08:59:58Z') }] })
    .on(ListSecretVersionIdsCommand, { NextToken: undefined })
    .resolves({
      NextToken: 'page 2',
      Versions: [
        { VersionId: oldest, CreatedDate: new Date('2026-11-22T09:00:00Z') },
        { VersionId: previous, CreatedDate: new Date('2026-11-23T09:00:00Z') },
      ],
    })
    .on(ListSecretVersionIdsCommand, { NextToken: 'page 2' })
    .resolves({ Versions: [{ VersionId: current, CreatedDate: new Date('2026-11-24T08:59:58Z') }] });
}

export function labelUpdated(versionId: string, label = 'AWSCURRENT') {
  return {
    version: '0',
    id: '5b2f8c1e-9d43-4f7a-b1c6-3e8a7d90f254',
    'detail-type': 'Secret Label Updated',
    source: 'aws.secretsmanager',
    account: '123456789012',
    time: '2026-11-24T09:00:00Z',
    region: 'eu-central-1',
    resources: [arn],
    detail: { name, labelUpdated: label, versionId },
  };
}

/** Not the native event, each with what the error must say. */
export const wrongShapes: readonly [string, unknown, string][] = [
  ['nothing at all', undefined, 'the whole: expected object'],
  ['another source', { ...labelUpdated(current), source: 'hunter2' }, 'source: expected aws.secretsmanager'],
  ['no ARN', { ...labelUpdated(current), resources: [] }, 'resources'],
  [
    'an ARN of something else',
    { ...labelUpdated(current), resources: ['hunter2'] },
    'resources.0: expected the ARN of a secret',
  ],
  [
    'a version that is no version',
    { ...labelUpdated(current), detail: { name, labelUpdated: 'AWSCURRENT', versionId: 'hunter2' } },
    'detail.versionId: expected at least 32',
  ],
];

export const log = { debug: () => {} };
