import {
  type ContextEntry,
  SimulateCustomPolicyCommand,
  SimulatePrincipalPolicyCommand,
} from '@aws-sdk/client-iam';
import { GetFunctionConfigurationCommand } from '@aws-sdk/client-lambda';
import pMap from 'p-map';
import { type Check, type DoctorParts, orWell, unknown, type Verdict, wrong } from './check.ts';

interface Need {
  readonly functionName: string;
  readonly actions: readonly string[];
  readonly on: (parts: DoctorParts, account: Account) => string;
  /** Its statement has a condition. */
  readonly conditional?: true;
}
interface Account {
  readonly partition: string;
  readonly region: string;
  readonly id: string;
}

const secret: Need['on'] = (_, { partition, region, id }) =>
  `arn:${partition}:secretsmanager:${region}:${id}:secret:agents/keyturn-doctor/credentials-a1B2c3`;
const key: Need['on'] = ({ output }) => output('SecretsKeyArn');
const alerts: Need['on'] = ({ output }) => output('AlertTopicArn');
const table: Need['on'] = ({ output }, { partition, region, id }) =>
  `arn:${partition}:dynamodb:${region}:${id}:table/${output('StateTableName')}`;
const bus: Need['on'] = ({ output }, { partition, region, id }) =>
  `arn:${partition}:events:${region}:${id}:event-bus/${output('BusName')}`;
const schedule: Need['on'] = ({ output }, { partition, region, id }) =>
  `arn:${partition}:scheduler:${region}:${id}:schedule/${output('GraceScheduleGroupName')}/keyturn-doctor`;

/** What each function can't do without: whoever takes it away, by a role, a boundary or the organisation, stops rotations. */
const needs: readonly Need[] = [
  {
    functionName: 'rotate-secret',
    actions: ['DescribeSecret', 'GetSecretValue', 'PutSecretValue', 'UpdateSecretVersionStage'].map(
      (action) => `secretsmanager:${action}`,
    ),
    on: secret,
    conditional: true,
  },
  { functionName: 'rotate-secret', actions: ['kms:Decrypt', 'kms:GenerateDataKey'], on: key },
  { functionName: 'rotate-secret', actions: ['events:PutEvents'], on: bus, conditional: true },
  { functionName: 'announce-rotation', actions: ['secretsmanager:DescribeSecret'], on: secret },
  { functionName: 'announce-rotation', actions: ['events:PutEvents'], on: bus, conditional: true },
  { functionName: 'announce-rotation', actions: ['scheduler:CreateSchedule'], on: schedule },
  {
    functionName: 'invalidate-caches',
    actions: ['sns:Publish'],
    on: ({ output }) => output('InvalidationTopicArn'),
  },
  { functionName: 'sync-vault-mirror', actions: ['secretsmanager:GetSecretValue'], on: secret },
  { functionName: 'sync-vault-mirror', actions: ['kms:Decrypt'], on: key },
  { functionName: 'revoke-superseded', actions: ['secretsmanager:GetSecretValue'], on: secret },
  { functionName: 'check-backend-health', actions: ['sns:Publish'], on: alerts },
  { functionName: 'check-backend-health', actions: ['dynamodb:GetItem', 'dynamodb:PutItem'], on: table },
  { functionName: 'alert-rotation-failure', actions: ['sns:Publish'], on: alerts },
  { functionName: 'record-adoption', actions: ['dynamodb:PutItem'], on: table },
  {
    functionName: 'reconcile-fleet',
    actions: ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
    on: secret,
    conditional: true,
  },
  { functionName: 'reconcile-fleet', actions: ['sns:Publish'], on: alerts },
  {
    functionName: 'reconcile-mirrors',
    actions: ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
    on: secret,
    conditional: true,
  },
  { functionName: 'reconcile-mirrors', actions: ['sns:Publish'], on: alerts },
];

/** The conditions of our policies, as they are met where the functions run. */
const context: ContextEntry[] = [
  ['aws:ResourceTag/managed_by', 'agent-platform'],
  ['events:source', 'keyturn'],
  ['dynamodb:LeadingKeys', 'adoption#keyturn-doctor'],
].map(([ContextKeyName, value = '']) => ({
  ContextKeyName,
  ContextKeyType: 'string',
  ContextKeyValues: [value],
}));

/** AWS's simulator does; an emulator's may not, and then what it refuses on a condition says nothing. */
async function knowsConditions({ iam }: DoctorParts): Promise<boolean> {
  const Condition = { StringEquals: { 'events:source': 'keyturn' } };
  const { EvaluationResults = [] } = await iam.send(
    new SimulateCustomPolicyCommand({
      PolicyInputList: [
        JSON.stringify({
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Action: 'events:PutEvents', Resource: '*', Condition }],
        }),
      ],
      ActionNames: ['events:PutEvents'],
      ResourceArns: ['*'],
      ContextEntries: context,
    }),
  );
  return EvaluationResults.every(({ EvalDecision }) => EvalDecision === 'allowed');
}

export const functionsMay: Check = {
  name: 'permissions',
  async run(parts) {
    const simulatesConditions = await knowsConditions(parts);
    const [, partition = '', , region = '', id = ''] = parts.output('AlertTopicArn').split(':');
    const account = { partition, region, id };
    const found = await pMap(
      needs,
      async ({ functionName, actions, on, conditional }): Promise<readonly Omit<Verdict, 'check'>[]> => {
        const { Role } = await parts.lambda.send(
          new GetFunctionConfigurationCommand({ FunctionName: `keyturn-${parts.stage}-${functionName}` }),
        );
        const { EvaluationResults = [] } = await parts.iam.send(
          new SimulatePrincipalPolicyCommand({
            PolicySourceArn: Role,
            ActionNames: [...actions],
            ResourceArns: [on(parts, account)],
            ContextEntries: context,
          }),
        );
        const denied = EvaluationResults.filter(({ EvalDecision }) => EvalDecision !== 'allowed');
        if (denied.length > 0 && conditional && !simulatesConditions) {
          const names = denied.map(({ EvalActionName }) => EvalActionName).join(', ');
          return [
            unknown(
              `${functionName}, ${names}: allowed on conditions, which this policy simulator ignores`,
              'an emulator of AWS; nothing to do',
            ),
          ];
        }
        return denied.map(
          ({ EvalActionName = '', OrganizationsDecisionDetail, PermissionsBoundaryDecisionDetail }) => {
            const by =
              OrganizationsDecisionDetail?.AllowedByOrganizations === false
                ? "the organisation's policies (SCP)"
                : PermissionsBoundaryDecisionDetail?.AllowedByPermissionsBoundary === false
                  ? "the role's permissions boundary"
                  : 'the role, which was changed: deploy again';
            return wrong(`${functionName} may not ${EvalActionName}`, `look at ${by}`);
          },
        );
      },
      { concurrency: 4 },
    );
    return orWell(found.flat(), 'each function may do what it has to, by the policy simulator');
  },
};
