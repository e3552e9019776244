import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../../../local/root.ts';
import { statementsOf } from './statements.ts';
import { allResources, functions, ofType, type Resource } from './template.ts';

const keyArn = { 'Fn::GetAtt': 'SecretsKey.Arn' };
const text = (value: unknown) => JSON.stringify(value) ?? '';
const names = (value: unknown, id: string) =>
  text(value).includes(`"${id}"`) || text(value).includes(`"${id}.`);
const policiesOn = (id: string): Resource[] =>
  [...ofType('AWS::SQS::QueuePolicy'), ...ofType('AWS::SNS::TopicPolicy')]
    .filter(([, { Properties }]) => names(Properties.Queues ?? Properties.Topics, id))
    .map(([, policy]) => policy);
/** `RotateDashsecret`, as the framework writes a function's name into logical ids. */
const logical = (name: string) => name.replace(/^./, (first) => first.toUpperCase()).replaceAll('-', 'Dash');

describe('who may call a function', () => {
  it.each(ofType('AWS::Lambda::Permission'))('%s names one caller of this account', (_id, { Properties }) => {
    expect(Properties.Principal).toMatch(/^(events|secretsmanager)\.amazonaws\.com$/);
    expect(Properties.SourceArn ?? Properties.SourceAccount).toBeDefined();
    // Secrets Manager calls for secrets that don't exist yet, so it has an account instead of an ARN.
    if (Properties.Principal === 'secretsmanager.amazonaws.com')
      expect(Properties.SourceAccount).toEqual({ Ref: 'AWS::AccountId' });
    else expect(Properties.SourceArn).toMatchObject({ 'Fn::GetAtt': expect.stringMatching(/Rule\.Arn$/) });
  });

  it.each(ofType('AWS::IAM::Role'))('%s can be assumed by one service only', (_id, { Properties }) => {
    for (const { principal, conditions } of statementsOf(Properties.AssumeRolePolicyDocument)) {
      const service = text(principal);
      expect(service).toMatch(/^\{"Service":"(lambda|scheduler)\.amazonaws\.com"\}$/);
      if (service.includes('scheduler'))
        expect(conditions['aws:SourceAccount']).toEqual([{ Ref: 'AWS::AccountId' }]);
    }
  });
});

describe('who may write to a topic, a queue or the bus', () => {
  it.each([...ofType('AWS::SQS::Queue'), ...ofType('AWS::SNS::Topic')])(
    '%s takes nothing in plaintext',
    (id) => {
      const refusals = policiesOn(id)
        .flatMap(({ Properties }) => statementsOf(Properties.PolicyDocument))
        .filter(
          ({ effect, principal, conditions }) =>
            effect === 'Deny' && principal === '*' && conditions['aws:SecureTransport']?.includes('false'),
        );
      expect(refusals.some(({ resource }) => names(resource, id))).toBe(true);
    },
  );

  it.each([...ofType('AWS::SQS::QueuePolicy'), ...ofType('AWS::SNS::TopicPolicy')])(
    '%s lets in no service on behalf of another account',
    (_id, { Properties }) => {
      for (const { effect, principal, conditions } of statementsOf(Properties.PolicyDocument)) {
        if (effect === 'Deny') continue;
        expect(principal).not.toBe('*');
        if (text(principal).includes('Service'))
          expect(conditions['aws:SourceArn'] ?? conditions['aws:SourceAccount']).toHaveLength(1);
        else expect(text(principal)).toMatch(/AWS::AccountId\}:root/);
      }
    },
  );

  it('the bus takes events of this account, of Keyturn, and of a kind that has a contract: nothing else', () => {
    const refused = ofType('AWS::Events::EventBusPolicy').flatMap(([, { Properties }]) =>
      statementsOf({ Statement: [Properties.Statement] }),
    );
    for (const one of refused)
      expect(one).toMatchObject({ effect: 'Deny', principal: '*', actions: ['events:PutEvents'] });
    const except = Object.assign({}, ...refused.map(({ conditions }) => conditions));
    expect(except).toEqual({
      'aws:PrincipalAccount': [{ Ref: 'AWS::AccountId' }],
      'events:source': ['keyturn', 'keyturn.agent.*'],
      'events:detail-type': expect.any(Array),
    });
    const contracts = readFileSync(join(root, 'events/contracts.ts'), 'utf8')
      .match(/(?<=from '\.\/)[\w-]+(?=\/event\.ts')/g)
      ?.flatMap((folder) => {
        const source = readFileSync(join(root, 'events', folder, 'event.ts'), 'utf8');
        return /(?:busContract\(\s*|const detailType = )'([^']+)'/.exec(source)?.[1] ?? [];
      });
    expect(except['events:detail-type']).toEqual(contracts?.sort());
  });

  it.each(ofType('AWS::Events::Rule').filter(([, { Properties }]) => Properties.EventPattern))(
    '%s hears one source, and detail-types that it names',
    (_id, { Properties }) => {
      const onBus = Properties.EventBusName !== undefined;
      // The one event that agents publish, each under its own name.
      const ofAgents = text(Properties.EventPattern).includes('"Secret Adopted"');
      const ours = ofAgents ? { prefix: 'keyturn.agent.' } : 'keyturn';
      expect(Properties.EventPattern).toMatchObject({
        source: [onBus ? ours : 'aws.secretsmanager'],
        'detail-type': expect.arrayContaining([expect.any(String)]),
      });
    },
  );
});

describe('what is encrypted at rest, with a key that only this account can use', () => {
  it.each(functions)('the log of $name', ({ name, resources }) => {
    expect(resources[`${logical(name)}LogGroup`]).toMatchObject({
      Type: 'AWS::Logs::LogGroup',
      Properties: { KmsKeyId: keyArn },
    });
  });

  it('the bus, its archive and the table', () => {
    const properties = (id: string) => allResources[id]?.Properties;
    expect(properties('KeyturnBus')?.KmsKeyIdentifier).toEqual(keyArn);
    expect(properties('AuditArchive')?.KmsKeyIdentifier).toEqual(keyArn);
    expect(ofType('AWS::DynamoDB::Table').map(([, table]) => table.Properties.SSESpecification)).toEqual([
      { SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: keyArn },
    ]);
  });

  it('no service uses the key but for this account, for its logs and for its bus', () => {
    const services = statementsOf(allResources.SecretsKey?.Properties.KeyPolicy).filter(({ principal }) =>
      text(principal).includes('Service'),
    );
    for (const { actions, conditions } of services) {
      if (actions.join() === 'kms:DescribeKey') continue;
      const context = Object.entries(conditions).find(([key]) => key.startsWith('kms:EncryptionContext:'));
      const limit = conditions['aws:SourceAccount'] ?? context?.[1];
      expect(limit).toHaveLength(1);
      expect(text(limit)).toContain('AWS::AccountId');
    }
    expect(services.length).toBeGreaterThan(2);
  });
});

describe('a delivery that fails, on any edge', () => {
  const alarmed = (metric: string, id: string) =>
    ofType('AWS::CloudWatch::Alarm').some(
      ([, { Properties }]) =>
        Properties.MetricName === metric &&
        names(Properties.Dimensions, id) &&
        text(Properties.AlarmActions).includes('AlertTopic'),
    );
  const keepsDeadLetters = (name: string) =>
    ofType('AWS::Lambda::EventInvokeConfig').some(
      ([, { Properties }]) =>
        names(Properties.FunctionName, `${logical(name)}LambdaFunction`) &&
        names(Properties.DestinationConfig, 'DeadLetters'),
    );

  // Secrets Manager repeats a step itself and tells of one that failed; a queue's messages come back.
  const asynchronous = functions.filter(
    ({ name, function: one }) => name !== 'rotate-secret' && !text(one.events).includes('"sqs"'),
  );

  it.each(asynchronous)(
    '$name: what it gave up on is kept or raises an alarm, and its silence too where it is due by the clock',
    ({ name, resources, function: one }) => {
      const id = `${logical(name)}LambdaFunction`;
      const isPeriodic =
        text(one.events).includes('"schedule"') ||
        Object.values(resources).some(({ Properties }) => Properties.ScheduleExpression);
      // What comes every minute is made up for by the next minute: an alarm will do.
      expect(keepsDeadLetters(name) || (isPeriodic && alarmed('Errors', id))).toBe(true);
      if (isPeriodic) expect(alarmed('Invocations', id)).toBe(true);
    },
  );

  it.each(ofType('AWS::SQS::Queue'))(
    '%s has dead letters, or is where they end and has an alarm',
    (id, { Properties }) => {
      const target = text(Properties.RedrivePolicy);
      if (Properties.RedrivePolicy) expect(target).toMatch(/DeadLetters\.Arn/);
      else expect(alarmed('ApproximateNumberOfMessagesVisible', id)).toBe(true);
    },
  );

  it('every queue that a function takes from stays invisible six times as long as the function may run', () => {
    const fed = functions.flatMap(({ function: one }) =>
      [...text(one.events).matchAll(/"Fn::GetAtt":"(\w+)\.Arn"/g)].map(([, id = '']) => ({
        id,
        timeout: one.timeout,
      })),
    );
    expect(fed).not.toEqual([]);
    for (const { id, timeout } of fed)
      expect(allResources[id]?.Properties.VisibilityTimeout).toBeGreaterThanOrEqual(6 * timeout);
  });

  it('the bus keeps what it could not encrypt', () => {
    expect(allResources.KeyturnBus?.Properties.DeadLetterConfig).toEqual({
      Arn: { 'Fn::GetAtt': 'DeadLetters.Arn' },
    });
  });
});

describe('what a function is given', () => {
  it.each(functions)(
    '$name has no secret in its environment: references, names, numbers, addresses',
    ({ function: one }) => {
      for (const [key, value] of Object.entries(one.environment)) {
        expect(key).not.toMatch(/PASSWORD|PASSPHRASE|PRIVATE|CREDENTIAL|TOKEN$|API_?KEY/);
        expect(text(value)).not.toContain('resolve:');
      }
    },
  );

  it('where traces are on, every function may send its own', () => {
    const traces = readFileSync(join(root, 'shared/deployment/tracing/on.yml'), 'utf8');
    const senders = [...traces.matchAll(/!Ref (\w+Role)/g)].map(([, role]) => role);
    expect(senders.sort()).toEqual(functions.map(({ function: { role } }) => role).sort());
  });
});
