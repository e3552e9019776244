import { describe, expect, it } from 'vitest';
import { kinds } from '../../../functions/reconcile-fleet/reconcile-fleet.ts';
import { mirrorKinds } from '../../../shared/reconciliation/mirrors/mirror-finding.ts';
import { adoptionPrefix } from '../../../shared/state/adoptions.ts';
import { callsOf, eventsOf } from './calls.ts';
import { type Statement, servicesOf, statementsOfRole } from './statements.ts';
import { allResources, functions, ofType } from './template.ts';

/** What an action asks for besides itself. */
const implied: Readonly<Record<string, readonly string[]>> = {
  // It returns values, and each needs the right to read it.
  'secretsmanager:BatchGetSecretValue': ['secretsmanager:GetSecretValue'],
  // The schedule runs with a role, and calls Lambda with it.
  'scheduler:CreateSchedule': ['iam:PassRole'],
  // Secrets Manager checks that its caller may call the rotation function.
  'secretsmanager:RotateSecret': ['lambda:InvokeFunction'],
};
/** Left in a bundle beside what is called, as a method of the same object: the function must not have the right. */
const neverCalled: Readonly<Record<string, readonly string[]>> = {
  // It reads declarations; `keyturn apply` alone forgets one.
  'reconcile-fleet': ['dynamodb:DeleteItem'],
};
/** Calls that open or close an envelope of the key, by the service that does it on the caller's behalf. */
const encrypted: Readonly<Record<string, RegExp>> = {
  secretsmanager: /^secretsmanager:(GetSecretValue|PutSecretValue|BatchGetSecretValue)$/,
  dynamodb: /^dynamodb:/,
  sns: /^sns:Publish$/,
  sqs: /^sqs:(SendMessage|ReceiveMessage)$/,
};

const hasDeadLetters = (name: string) =>
  Object.values(functions.find((one) => one.name === name)?.resources ?? {}).some(
    ({ Type, Properties }) =>
      Type === 'AWS::Lambda::EventInvokeConfig' && JSON.stringify(Properties).includes('OnFailure'),
  );
const hasQueue = (events: unknown) => JSON.stringify(events ?? []).includes('"sqs"');

async function neededBy(name: string, events: unknown): Promise<string[]> {
  const calls = (await callsOf(name)).filter((call) => !neverCalled[name]?.includes(call));
  return [
    ...calls,
    ...calls.flatMap((call) => implied[call] ?? []),
    'logs:CreateLogStream',
    'logs:PutLogEvents',
    ...(hasDeadLetters(name) ? ['sqs:SendMessage'] : []),
    ...(hasQueue(events) ? ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'] : []),
  ];
}

const roleOf = (id: string): Statement[] => {
  const role = allResources[id];
  if (!role) throw new Error(`${id} is gone`);
  return statementsOfRole(role);
};
const sorted = (names: Iterable<string>) => [...new Set(names)].sort();

describe('what a function may do is what its code calls', () => {
  it.each(functions)('$name: nothing is missing, and nothing is unused', async ({ name, function: one }) => {
    const allowed = roleOf(one.role).flatMap(({ actions }) => actions.filter((it) => !it.startsWith('kms:')));
    expect(sorted(allowed)).toEqual(sorted(await neededBy(name, one.events)));
  });

  it.each(functions)(
    '$name uses the key through the services that it calls, and no other',
    async ({ name, function: one }) => {
      const needed = await neededBy(name, one.events);
      const services = Object.keys(encrypted).filter((service) =>
        needed.some((call) => encrypted[service]?.test(call)),
      );
      const used = roleOf(one.role)
        .filter(({ actions }) => actions.some((action) => action.startsWith('kms:')))
        .flatMap(({ conditions }) => servicesOf(conditions['kms:ViaService']));
      expect(sorted(used)).toEqual(sorted(services));
    },
  );

  it.each(ofType('AWS::IAM::Role'))(
    '%s opens values of its own secrets only: the key asks for the encryption context',
    (_id, role) => {
      const statements = statementsOfRole(role);
      for (const { actions, conditions } of statements) {
        if (!actions.some((action) => action.startsWith('kms:'))) continue;
        const services = servicesOf(conditions['kms:ViaService']);
        expect(services).not.toEqual([]);
        if (!services.includes('secretsmanager')) continue;
        // A service that knows no secret has no such context: the two don't go together.
        expect(services).toEqual(['secretsmanager']);
        const readable = statements
          .filter((one) => one.actions.includes('secretsmanager:GetSecretValue'))
          .flatMap(({ resource }) => [resource].flat());
        expect(conditions['kms:EncryptionContext:SecretARN']).toEqual(readable);
      }
    },
  );

  it.each(
    functions.filter(({ function: { role } }) =>
      roleOf(role).some(({ actions }) => actions.includes('events:PutEvents')),
    ),
  )(
    '$name speaks under the name of Keyturn, and may say what its code says: nothing else',
    async ({ name, function: one }) => {
      const saying = roleOf(one.role).filter(({ actions }) => actions.includes('events:PutEvents'));
      for (const { resource, conditions } of saying) {
        expect(resource).toEqual({ 'Fn::GetAtt': 'KeyturnBus.Arn' });
        expect(conditions['events:source']).toEqual(['keyturn']);
      }
      const may = saying.flatMap(({ conditions }) => conditions['events:detail-type'] ?? ['anything']);
      expect(sorted(may.map(String))).toEqual(await eventsOf(name));
    },
  );

  it("rotate-secret writes a secret only if it is the platform's, and this the function that rotates it", () => {
    const writing = roleOf('RotateSecretRole').filter(({ actions }) =>
      actions.some((action) => /^secretsmanager:(?!Get|BatchGet|Describe|List)/.test(action)),
    );
    expect(writing).toHaveLength(1);
    expect(writing[0]).toMatchObject({
      conditions: {
        'aws:ResourceTag/managed_by': ['agent-platform'],
        'secretsmanager:resource/AllowRotationLambdaArn': [
          {
            'Fn::Sub': expect.stringMatching(
              /:\$\{AWS::AccountId\}:function:\$\{self:service\}-\$\{sls:stage\}-rotate-secret$/,
            ),
          },
        ],
      },
      operators: {
        'aws:ResourceTag/managed_by': 'StringEquals',
        'secretsmanager:resource/AllowRotationLambdaArn': 'StringEquals',
      },
    });
  });

  it.each(
    ofType('AWS::IAM::Role').filter(([, role]) =>
      statementsOfRole(role).some(({ actions }) => actions.includes('iam:PassRole')),
    ),
  )('%s hands on the role of a schedule, to a schedule: no other', (_id, role) => {
    const passing = statementsOfRole(role).filter(({ actions }) => actions.includes('iam:PassRole'));
    expect(passing.map(({ resource, conditions }) => [resource, conditions])).toEqual([
      [{ 'Fn::GetAtt': 'GraceSchedulerRole.Arn' }, { 'iam:PassedToService': ['scheduler.amazonaws.com'] }],
    ]);
  });

  it('the role of a schedule ends grace periods and leaves what it could not deliver: nothing else', () => {
    const allowed = roleOf('GraceSchedulerRole').map(({ actions, resource }) => [actions.join(), resource]);
    expect(allowed).toEqual([
      ['lambda:InvokeFunction', { 'Fn::Sub': expect.stringMatching(/-revoke-superseded$/) }],
      ['sqs:SendMessage', { 'Fn::GetAtt': 'DeadLetters.Arn' }],
      ['kms:Decrypt,kms:GenerateDataKey*', { 'Fn::GetAtt': 'SecretsKey.Arn' }],
    ]);
  });

  describe('what a function may read and write of the tables', () => {
    const findingsOf = (kindsOfFindings: readonly string[]) =>
      kindsOfFindings.map((kind) => `findings#${kind}`);
    /** What the keys of its items begin with, in the code. */
    const keysOf: Readonly<Record<string, readonly string[]>> = {
      'alert-rotation-failure': ['rotation#*'],
      'check-backend-health': ['health#*'],
      'reconcile-fleet': findingsOf(kinds.map(({ kind }) => kind)),
      'reconcile-mirrors': findingsOf(mirrorKinds),
      'record-adoption': [`${adoptionPrefix}*`],
    };
    const statementsOn = (table: string, role: string) =>
      roleOf(role).filter(
        ({ actions, resource }) =>
          actions.some((action) => action.startsWith('dynamodb:')) &&
          JSON.stringify(resource).includes(`"${table}.`),
      );

    it.each(functions)('$name: of the state table its own items, and no other', ({ name, function: one }) => {
      for (const { actions, conditions, operators } of statementsOn('StateTable', one.role)) {
        // A scan has no key: IAM could hold it to nothing.
        for (const action of actions) expect(action).toMatch(/^dynamodb:(Get|Put|Update|Delete)Item$/);
        expect(conditions).toEqual({ 'dynamodb:LeadingKeys': keysOf[name] });
        expect(operators).toEqual({ 'dynamodb:LeadingKeys': 'ForAllValues:StringLike' });
      }
    });

    it('no item is of two functions', () => {
      const named = functions.filter(({ function: one }) => statementsOn('StateTable', one.role).length > 0);
      expect(named.map(({ name }) => name)).toEqual(Object.keys(keysOf));
      const all = Object.values(keysOf).flat();
      for (const pattern of all) {
        const matched = all.filter((key) => key.startsWith(pattern.replace(/\*$/, '')));
        expect(matched).toEqual([pattern]);
      }
    });

    it('what agents are declared to be is read by reconcile-fleet, which carries it out, and written by none', () => {
      const reading = functions.flatMap(({ name, function: one }) =>
        statementsOn('DeclarationsTable', one.role).map(({ actions }) => [name, actions]),
      );
      expect(reading).toEqual([['reconcile-fleet', ['dynamodb:GetItem', 'dynamodb:Scan']]]);
    });

    it('every statement on a table names one of the two', () => {
      for (const { name, function: one } of functions) {
        const onTables = roleOf(one.role).filter(({ actions }) => actions.join().includes('dynamodb:'));
        const known = ['StateTable', 'DeclarationsTable'].flatMap((table) => statementsOn(table, one.role));
        expect([name, onTables.length]).toEqual([name, known.length]);
        for (const { resource } of onTables)
          expect(resource).toEqual({ 'Fn::GetAtt': expect.stringMatching(/^\w+\.Arn$/) });
      }
    });
  });

  it.each(
    ofType('AWS::IAM::Role').filter(([, role]) =>
      statementsOfRole(role).some(({ actions }) => actions.includes('secretsmanager:RotateSecret')),
    ),
  )('%s begins rotations as they are configured: by no other function, or no other rules', (_id, role) => {
    for (const { actions, conditions } of statementsOfRole(role)) {
      if (!actions.includes('secretsmanager:RotateSecret')) continue;
      const ownFunction = JSON.stringify(conditions['secretsmanager:RotationLambdaARN'] ?? '');
      expect(
        conditions['secretsmanager:ModifyRotationRules']?.join() === 'false' ||
          ownFunction.includes('-rotate-secret"'),
      ).toBe(true);
    }
  });
});
