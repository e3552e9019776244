import {
  GetRolePolicyCommand,
  IAMClient,
  ListRolePoliciesCommand,
  SimulateCustomPolicyCommand,
} from '@aws-sdk/client-iam';
import { GetFunctionConfigurationCommand, LambdaClient } from '@aws-sdk/client-lambda';
import * as z from 'zod';
import { accountId, region, type Stack } from '../../local/stack/start.ts';

const statement = z.object({
  Effect: z.literal('Allow'),
  Action: z.union([z.string(), z.array(z.string())]),
  Resource: z.unknown(),
});
const document = z.object({ Statement: z.array(statement) });

export const iamOf = ({ endpoint }: Stack): IAMClient =>
  new IAMClient({ endpoint, region, credentials: { accessKeyId: 'test', secretAccessKey: 'test' } });

/** The name of a function's role. */
export async function roleOf({ endpoint }: Stack, name: string): Promise<string> {
  const lambda = new LambdaClient({
    endpoint,
    region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const { Role = '' } = await lambda.send(
    new GetFunctionConfigurationCommand({ FunctionName: `keyturn-local-${name}` }),
  );
  return Role.split('/').at(-1) ?? Role;
}

/**
 * What a role was deployed with. Its conditions are left off, for ministack's simulator takes no context: what they must say
 * is checked in test/unit/deployment.
 */
export async function policyOf(iam: IAMClient, RoleName: string): Promise<z.output<typeof document>> {
  const { PolicyNames = [] } = await iam.send(new ListRolePoliciesCommand({ RoleName }));
  const documents = await Promise.all(
    PolicyNames.map(async (PolicyName) => {
      const { PolicyDocument = '' } = await iam.send(new GetRolePolicyCommand({ RoleName, PolicyName }));
      return document.parse(JSON.parse(decodeURIComponent(PolicyDocument)));
    }),
  );
  return { Statement: documents.flatMap(({ Statement }) => Statement) };
}

/** Whether the policy allows the call, judged by the policy simulator. */
export async function allows(
  iam: IAMClient,
  policy: z.output<typeof document>,
  action: string,
  resource: string,
): Promise<boolean> {
  const { EvaluationResults = [] } = await iam.send(
    new SimulateCustomPolicyCommand({
      PolicyInputList: [JSON.stringify({ Version: '2012-10-17', ...policy })],
      ActionNames: [action],
      ResourceArns: [resource],
    }),
  );
  return EvaluationResults[0]?.EvalDecision === 'allowed';
}

export const actionsOf = (policy: z.output<typeof document>): string[] =>
  [...new Set(policy.Statement.flatMap(({ Action }) => Action))].sort();

/** The ARN of what a request names, as a policy would write it. */
export function arnOf(action: string, resource: string): string {
  if (resource === '*' || resource.startsWith('arn:')) return resource;
  const service = action.split(':')[0] ?? '';
  const path: Readonly<Record<string, string>> = {
    dynamodb: `table/${resource}`,
    events: `event-bus/${resource}`,
    scheduler: `schedule/keyturn-local-grace/${resource}`,
    secretsmanager: `secret:${resource}-AbCdEf`,
    lambda: `function:${resource}`,
  };
  return `arn:aws:${service}:${region}:${accountId}:${path[service] ?? resource}`;
}
