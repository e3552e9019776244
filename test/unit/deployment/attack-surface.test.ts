import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { root } from '../../../local/root.ts';
import { logical } from './edges.ts';
import { statementsOf } from './statements.ts';
import { allResources, functions, ofType, parameters, type Resource, sharedEnvironment } from './template.ts';

const keyArn = { 'Fn::GetAtt': 'SecretsKey.Arn' };
const text = (value: unknown) => JSON.stringify(value) ?? '';
const names = (value: unknown, id: string) =>
  text(value).includes(`"${id}"`) || text(value).includes(`"${id}.`);
/** Conditions that let in what they name. A negated one would let in everything else. */
const narrowing = /^(ForAllValues:)?(StringEquals|StringLike|ArnEquals|ArnLike|Bool)$/;
const policiesOn = (id: string): Resource[] =>
  [...ofType('AWS::SQS::QueuePolicy'), ...ofType('AWS::SNS::TopicPolicy')]
    .filter(([, { Properties }]) => names(Properties.Queues ?? Properties.Topics, id))
    .map(([, policy]) => policy);

describe('who may call a function', () => {
  it.each(ofType('AWS::Lambda::Permission'))('%s names one caller of this account', (_id, { Properties }) => {
    expect(Properties.Action).toBe('lambda:InvokeFunction');
    expect(Properties.Principal).toMatch(/^(events|secretsmanager)\.amazonaws\.com$/);
    expect(Properties.SourceArn ?? Properties.SourceAccount).toBeDefined();
    // Secrets Manager calls for secrets that don't exist yet, so it has an account instead of an ARN.
    if (Properties.Principal === 'secretsmanager.amazonaws.com')
      expect(Properties.SourceAccount).toEqual({ Ref: 'AWS::AccountId' });
    else expect(Properties.SourceArn).toMatchObject({ 'Fn::GetAtt': expect.stringMatching(/Rule\.Arn$/) });
  });

  it('there is no other way in: no URL, no API, nothing of a kind that no test here knows', () => {
    const known = [
      'CloudWatch::Alarm',
      'DynamoDB::Table',
      'Events::Archive',
      'Events::EventBus',
      'Events::EventBusPolicy',
      'Events::Rule',
      'IAM::Role',
      'KMS::Key',
      'Lambda::EventInvokeConfig',
      'Lambda::Permission',
      'Logs::LogGroup',
      'SNS::Topic',
      'SNS::TopicPolicy',
      'SQS::Queue',
      'SQS::QueuePolicy',
      'Scheduler::ScheduleGroup',
      'SecretsManager::Secret',
    ];
    const types = new Set(Object.values(allResources).map(({ Type }) => Type.replace('AWS::', '')));
    expect([...types].sort()).toEqual(known);
  });

  it.each(ofType('AWS::IAM::Role'))('%s can be assumed by one service only', (_id, { Properties }) => {
    for (const { principal, conditions, operators } of statementsOf(Properties.AssumeRolePolicyDocument)) {
      for (const operator of Object.values(operators)) expect(operator).toMatch(narrowing);
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
          ({ effect, principal, actions, conditions, operators }) =>
            effect === 'Deny' &&
            principal === '*' &&
            /^(sqs:\*|sns:Publish)$/.test(actions.join()) &&
            text(conditions) === '{"aws:SecureTransport":["false"]}' &&
            operators['aws:SecureTransport'] === 'Bool',
        );
      expect(refusals.some(({ resource }) => names(resource, id))).toBe(true);
    },
  );

  it.each([...ofType('AWS::SQS::QueuePolicy'), ...ofType('AWS::SNS::TopicPolicy')])(
    '%s lets in no service but on behalf of this deployment (SourceArn)',
    (_id, { Properties }) => {
      for (const { effect, principal, actions, conditions, operators } of statementsOf(
        Properties.PolicyDocument,
      )) {
        if (effect === 'Deny') continue;
        expect(principal).not.toBe('*');
        if (!text(principal).includes('Service')) {
          expect(text(principal)).toMatch(/AWS::AccountId\}:root/);
          continue;
        }
        expect(['sqs:SendMessage', 'sns:Publish']).toContain(actions.join());
        expect(conditions['aws:SourceArn']).not.toHaveLength(0);
        for (const source of conditions['aws:SourceArn'] ?? ['none'])
          expect(text(source)).toMatch(
            /^\{"Fn::GetAtt":"\w+\.Arn"\}$|:\$\{AWS::AccountId\}:alarm:\$\{self:service\}-\$\{sls:stage\}-\*"\}$/,
          );
        expect(operators['aws:SourceArn']).toMatch(/^Arn(Equals|Like)$/);
      }
    },
  );

  /** What a service may send from, by the resources that a queue's policy names. */
  const sendersTo = (id: string) =>
    policiesOn(id)
      .flatMap(({ Properties }) => statementsOf(Properties.PolicyDocument))
      .filter(({ effect, resource }) => effect === 'Allow' && names(resource, id))
      .flatMap(({ conditions }) => conditions['aws:SourceArn'] ?? [])
      .map((source) => /"(\w+)\.Arn"/.exec(text(source))?.[1])
      .sort();
  const rules = ofType('AWS::Events::Rule');

  it('the bus and every rule may leave what they could not deliver, and nothing else may write there', () => {
    const leaving = [...ofType('AWS::Events::EventBus'), ...rules].filter(([, one]) =>
      names(one, 'DeadLetters'),
    );
    expect(leaving.length).toBe(rules.length + 1);
    expect(sendersTo('DeadLetters')).toEqual(leaving.map(([id]) => id).sort());
    expect(sendersTo('MirrorDeadLetters')).toEqual([]);
  });

  it('every rule may deliver to what it names: a queue by its policy, a function by a permission', () => {
    const mayCall = (rule: string, target: unknown) =>
      ofType('AWS::Lambda::Permission').some(
        ([, { Properties }]) =>
          text(Properties.FunctionName) === text(target) && names(Properties.SourceArn, rule),
      );
    for (const [rule, { Properties }] of rules) {
      const { Arn } = z.tuple([z.looseObject({ Arn: z.unknown() })]).parse(Properties.Targets)[0];
      const queue = /"(\w+Queue)\.Arn"/.exec(text(Arn))?.[1];
      expect([rule, queue ? sendersTo(queue) : mayCall(rule, Arn)]).toEqual([rule, queue ? [rule] : true]);
    }
  });

  it('alarms reach on-call, and no other topic: by the policy, under the names that they have', () => {
    const letIn = ofType('AWS::SNS::TopicPolicy')
      .flatMap(([, { Properties }]) => statementsOf(Properties.PolicyDocument))
      .filter(({ principal }) => text(principal).includes('cloudwatch.amazonaws.com'));
    expect(letIn.map(({ resource }) => resource)).toEqual([{ Ref: 'AlertTopic' }]);
    for (const [, { Properties }] of ofType('AWS::CloudWatch::Alarm'))
      expect(Properties.AlarmName).toMatch(/^\$\{self:service\}-\$\{sls:stage\}-/);
  });

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
    // A refusal of all that isn't so, whatever a role allows.
    expect(Object.assign({}, ...refused.map(({ operators }) => operators))).toEqual({
      'aws:PrincipalAccount': 'StringNotEquals',
      'events:source': 'StringNotLike',
      'events:detail-type': 'StringNotEquals',
    });
    for (const { conditions } of refused) expect(Object.keys(conditions)).toHaveLength(1);
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

  it('the bus, its archive and the tables', () => {
    const properties = (id: string) => allResources[id]?.Properties;
    expect(properties('KeyturnBus')?.KmsKeyIdentifier).toEqual(keyArn);
    expect(properties('AuditArchive')?.KmsKeyIdentifier).toEqual(keyArn);
    const tables = ofType('AWS::DynamoDB::Table');
    expect(tables.map(([id]) => id)).toEqual(['StateTable', 'DeclarationsTable']);
    for (const [, table] of tables)
      expect(table.Properties).toMatchObject({
        SSESpecification: { SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: keyArn },
        PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      });
  });

  it("the one secret that a deployment makes: a random one, which the template doesn't say", () => {
    const made = ofType('AWS::SecretsManager::Secret');
    expect(made.map(([id]) => id)).toEqual(['MirrorDigestKey']);
    for (const [, { Properties }] of made) {
      expect(Properties).toMatchObject({ KmsKeyId: { Ref: 'SecretsKey' }, GenerateSecretString: {} });
      expect(Properties.SecretString).toBeUndefined();
    }
  });

  it('no account uses the key but this one, where its roles allow it', () => {
    const accounts = statementsOf(allResources.SecretsKey?.Properties.KeyPolicy)
      .map(({ principal }) => principal)
      .filter((principal) => !text(principal).startsWith('{"Service":'));
    expect(accounts).toEqual([
      { AWS: { 'Fn::Sub': expect.stringMatching(/:iam::\$\{AWS::AccountId\}:root$/) } },
    ]);
  });

  it('no service uses the key but for this account, for its logs and for its bus', () => {
    const services = statementsOf(allResources.SecretsKey?.Properties.KeyPolicy).filter(({ principal }) =>
      text(principal).includes('Service'),
    );
    for (const { actions, conditions, operators } of services) {
      if (actions.join() === 'kms:DescribeKey') continue;
      for (const operator of Object.values(operators)) expect(operator).toMatch(narrowing);
      const context = Object.entries(conditions).find(([key]) => key.startsWith('kms:EncryptionContext:'));
      const limit = conditions['aws:SourceAccount'] ?? context?.[1];
      expect(limit).toHaveLength(1);
      expect(text(limit)).toContain('AWS::AccountId');
      // The contexts that EventBridge and CloudWatch Logs give the key.
      if (context)
        expect(['aws:events:event-bus:arn', 'aws:logs:arn']).toContain(
          context[0].replace('kms:EncryptionContext:', ''),
        );
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
        Properties.ActionsEnabled !== false &&
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

  it('the first dead letter of any queue raises its alarm, and is kept for as long as SQS keeps anything', () => {
    const ends = ofType('AWS::SQS::Queue').filter(([, { Properties }]) => !Properties.RedrivePolicy);
    for (const [id, { Properties }] of ends) {
      expect(Properties.MessageRetentionPeriod).toBe(14 * 86_400);
      const watching = ofType('AWS::CloudWatch::Alarm').filter(([, one]) =>
        names(one.Properties.Dimensions, id),
      );
      expect(watching.map(([, one]) => one.Properties)).toEqual([
        expect.objectContaining({
          Statistic: 'Maximum',
          Threshold: 0,
          ComparisonOperator: 'GreaterThanThreshold',
          Period: 60,
          EvaluationPeriods: 1,
        }),
      ]);
    }
  });

  it('the end of a grace period that could not be delivered is kept: by whoever schedules it, and by its role', () => {
    const scheduling = functions.filter(({ function: { environment } }) => environment.SCHEDULE_GROUP_NAME);
    expect(scheduling.map(({ name }) => name)).toEqual(['announce-rotation', 'reconcile-fleet']);
    for (const { function: one } of scheduling)
      expect(one.environment).toMatchObject({
        SCHEDULE_DEAD_LETTER_ARN: { 'Fn::GetAtt': 'DeadLetters.Arn' },
        SCHEDULER_ROLE_ARN: { 'Fn::GetAtt': 'GraceSchedulerRole.Arn' },
      });
  });

  it('a subscription that a deployment makes keeps what it could not deliver', () => {
    // There is none: agents subscribe queues of their own, and on-call its own address.
    for (const [, { Properties }] of ofType('AWS::SNS::Subscription'))
      expect(text(Properties.RedrivePolicy)).toMatch(/DeadLetters\.Arn/);
  });

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
      for (const [key, value] of Object.entries({ ...sharedEnvironment, ...one.environment })) {
        expect(key).not.toMatch(/PASSWORD|PASSPHRASE|PRIVATE|CREDENTIAL|TOKEN$|API_?KEY/);
        expect(text(value)).not.toContain('resolve:');
      }
    },
  );

  it.each(functions)(
    '$name: each value of it is another resource, a parameter or the stage',
    ({ function: one }) => {
      const ofParameters = Object.values(parameters).map(text);
      for (const [key, value] of Object.entries(one.environment))
        if (!/^\{"(Ref|Fn::GetAtt|Fn::Sub)":|^"?\$\{sls:stage\}"?$/.test(text(value)))
          expect([key, ofParameters]).toEqual([key, expect.arrayContaining([text(value)])]);
    },
  );

  it('what all functions are given is settings of the runtime, of Powertools, and no more', () => {
    expect(Object.keys(sharedEnvironment)).toEqual([
      'NODE_OPTIONS',
      'NODE_EXTRA_CA_CERTS',
      'POWERTOOLS_SERVICE_NAME',
      'POWERTOOLS_METRICS_DISABLED',
      'POWERTOOLS_TRACE_ENABLED',
    ]);
    const literals = Object.values(sharedEnvironment).filter((value) => !text(value).startsWith('"${'));
    expect(literals).toEqual(['--enable-source-maps', 'keyturn']);
  });

  it('no parameter has a secret for its default, or is one: they are names, numbers, addresses', () => {
    for (const [name, value] of Object.entries(parameters)) {
      expect(name).not.toMatch(/password|token|apiKey|secretId$/i);
      expect(text(value)).toMatch(/^("[\w./:*${}-]*"|\d+|true|false)$/);
    }
  });

  it('where traces are on, every function may send its own', () => {
    const traces = readFileSync(join(root, 'shared/deployment/tracing/on.yml'), 'utf8');
    const senders = [...traces.matchAll(/!Ref (\w+Role)/g)].map(([, role]) => role);
    expect(senders.sort()).toEqual(functions.map(({ function: { role } }) => role).sort());
    expect(/Action: \[(.*)\]/.exec(traces)?.[1]?.split(', ')).toEqual([
      'xray:PutTraceSegments',
      'xray:PutTelemetryRecords',
    ]);
    expect(traces.match(/Type: .*/g)).toEqual(['Type: AWS::IAM::ManagedPolicy']);
    // Else Lambda may be asked to trace a function whose role may not send yet, and refuses.
    const after = [...traces.matchAll(/(\w+)LambdaFunction: \{ DependsOn: \[SendTraces\] \}/g)];
    expect(after.map(([, id]) => id).sort()).toEqual(functions.map(({ name }) => logical(name)).sort());
  });
});
