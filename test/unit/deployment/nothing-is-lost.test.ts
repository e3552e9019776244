import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { logical } from './edges.ts';
import { statementsOf, statementsOfRole } from './statements.ts';
import { allResources, functions, ofType } from './template.ts';

const alarms = Object.fromEntries(ofType('AWS::CloudWatch::Alarm'));
const silence = {
  MetricName: 'Invocations',
  ComparisonOperator: 'LessThanThreshold',
  Threshold: 1,
  TreatMissingData: 'breaching',
};
/** An alarm on a function. */
const watching = z
  .looseObject({
    Dimensions: z.tuple([
      z.object({ Name: z.literal('FunctionName'), Value: z.object({ Ref: z.string() }) }),
    ]),
    Period: z.number(),
    EvaluationPeriods: z.number(),
  })
  .transform(({ Dimensions: [{ Value }], ...rest }) => ({ ...rest, FunctionName: Value.Ref }));

/** A field of an event pattern that is a wildcard. */
const one = z.tuple([z.strictObject({ wildcard: z.string() })]);

describe('what a deployment does with a delivery that fails', () => {
  it.each(ofType('AWS::Events::Rule'))('%s keeps what it could not deliver', (_id, rule) => {
    expect(rule.Properties.Targets).toEqual([
      expect.objectContaining({ DeadLetterConfig: { Arn: { 'Fn::GetAtt': 'DeadLetters.Arn' } } }),
    ]);
  });

  it.each(ofType('AWS::Lambda::EventInvokeConfig'))(
    '%s keeps what failed after its retries',
    (_id, config) => {
      expect(config.Properties.DestinationConfig).toEqual({
        OnFailure: { Destination: { 'Fn::GetAtt': 'DeadLetters.Arn' } },
      });
    },
  );

  it.each(['announce-rotation', 'invalidate-caches', 'revoke-superseded', 'alert-rotation-failure'])(
    '%s, which Lambda tries three times by itself, has such a rule',
    (name) => {
      const configs = ofType('AWS::Lambda::EventInvokeConfig').map(
        ([, { Properties }]) => Properties.FunctionName,
      );
      expect(configs).toContainEqual({ Ref: `${logical(name)}LambdaFunction` });
    },
  );

  // Secrets Manager tells of every secret of an account; one that a function may not describe would end as a dead letter.
  it.each(
    functions.flatMap(({ name, function: { role }, resources }) =>
      Object.entries(resources)
        .filter(([, { Type, Properties }]) => Type === 'AWS::Events::Rule' && !Properties.EventBusName)
        .filter(([, { Properties }]) => Properties.EventPattern)
        .map(([rule, { Properties }]) => [rule, name, role, Properties.EventPattern] as const),
    ),
  )('%s hears of those secrets alone that %s may look at', (_rule, _name, role, pattern) => {
    const heard = z
      .object({
        detail: z.union([
          z.looseObject({ name: one }).transform(({ name: [{ wildcard }] }) => `:secret:${wildcard}`),
          z
            .looseObject({ additionalEventData: z.object({ SecretId: one }) })
            .transform(({ additionalEventData: { SecretId } }) => SecretId[0].wildcard),
        ]),
      })
      .parse(pattern).detail;
    // The parameter's default is read for it where nothing else stands beside it.
    expect(heard).toMatch(/:secret:(agents\/\*|\$\{param:agentSecrets\})$/);
    const described = statementsOfRole(allResources[role] ?? { Type: 'none', Properties: {} }).filter(
      ({ actions }) => actions.includes('secretsmanager:DescribeSecret'),
    );
    expect(JSON.stringify(described.map(({ resource }) => resource))).toMatch(
      /^\[\{"Fn::Sub":"[^"]*:secret:\$\{param:agentSecrets\}"\}\]$/,
    );
  });

  it.each(ofType('AWS::SNS::TopicPolicy'))(
    '%s speaks of its own topic only, else SNS refuses it',
    (_id, { Properties }) => {
      const [topic] = z.tuple([z.unknown()]).parse(Properties.Topics);
      for (const { resource } of statementsOf(Properties.PolicyDocument)) expect(resource).toEqual(topic);
    },
  );

  it.each(ofType('AWS::Events::EventBusPolicy'))(
    '%s has a name of its stage: an account has each name once',
    (_id, { Properties }) =>
      expect(Properties.StatementId).toMatch(/^\$\{self:service\}-\$\{sls:stage\}-[a-z-]{1,40}$/),
  );

  it('leaves the mirror queue invisible for at least six times as long as its function may run', () => {
    const timeout = functions.find(({ name }) => name === 'sync-vault-mirror')?.function.timeout;
    const queue = ofType('AWS::SQS::Queue').find(([id]) => id === 'MirrorQueue')?.[1];
    expect(queue?.Properties.VisibilityTimeout).toBeGreaterThanOrEqual(6 * (timeout ?? Number.NaN));
  });

  it('alarms on every queue of dead letters', () => {
    const watched = ofType('AWS::CloudWatch::Alarm').map(([, alarm]) => JSON.stringify(alarm.Properties));
    for (const [id] of ofType('AWS::SQS::Queue').filter(([name]) => name.endsWith('DeadLetters')))
      expect(watched.some((alarm) => alarm.includes(`"${id}.QueueName"`))).toBe(true);
  });

  it.each([
    ['CheckBackendHealthStoppedAlarm', 'CheckDashbackendDashhealth', 60],
    ['ReconcileFleetStoppedAlarm', 'ReconcileDashfleet', 3_600],
    ['ReconcileMirrorsStoppedAlarm', 'ReconcileDashmirrors', 3_600],
  ])(
    '%s hears silence, which has no data, and only where more than one run was missed',
    (id, name, every) => {
      const alarm = watching.parse(alarms[id]?.Properties);
      expect(alarm).toMatchObject({ ...silence, FunctionName: `${name}LambdaFunction` });
      expect(alarm.Period * alarm.EvaluationPeriods).toBeGreaterThanOrEqual(3 * every);
      const failing = watching.parse(alarms[id.replace('Stopped', 'Failing')]?.Properties);
      expect(failing).toMatchObject({ MetricName: 'Errors', TreatMissingData: 'notBreaching' });
      expect(failing.FunctionName).toBe(alarm.FunctionName);
    },
  );

  it.each(Object.entries(alarms))('%s tells on-call when it begins and when it is over', (_id, alarm) => {
    const topic = [{ Ref: 'AlertTopic' }];
    expect(alarm.Properties).toMatchObject({ AlarmActions: topic, OKActions: topic });
  });
});

describe('what a deployment keeps encrypted', () => {
  const key = { Ref: 'SecretsKey' };
  it.each([...ofType('AWS::SNS::Topic'), ...ofType('AWS::SQS::Queue')])(
    '%s, with the key of Keyturn',
    (_id, one) => {
      expect(one.Properties.KmsMasterKeyId).toEqual(key);
    },
  );

  it('rotates that key every year', () => {
    expect(ofType('AWS::KMS::Key').map(([, one]) => one.Properties.EnableKeyRotation)).toEqual([true]);
  });

  it.each(functions)(
    'no environment of $name holds a secret, only where to find one',
    ({ function: { environment } }) => {
      expect(Object.keys(environment).filter((key) => /PASSWORD|TOKEN$|API_KEY/.test(key))).toEqual([]);
    },
  );
});
