import { GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import {
  GetFunctionConcurrencyCommand,
  GetFunctionConfigurationCommand,
  GetPolicyCommand,
  paginateListEventSourceMappings,
} from '@aws-sdk/client-lambda';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { type Check, type DoctorParts, ofType, orWell, shortName, wrong } from './check.ts';

const hourMs = 3_600_000;

export const functionsRun: Check = {
  name: 'functions',
  async run(parts) {
    const found = await Promise.all(
      ofType(parts, 'AWS::Lambda::Function').map(async ({ physicalId }) => {
        const { State, LastUpdateStatus } = await parts.lambda.send(
          new GetFunctionConfigurationCommand({ FunctionName: physicalId }),
        );
        const isReady = (State ?? 'Active') === 'Active' && (LastUpdateStatus ?? 'Successful') !== 'Failed';
        return isReady
          ? []
          : [
              wrong(
                `${shortName(parts, physicalId)} is ${State}`,
                `deploy again, or look at the function in the console`,
              ),
            ];
      }),
    );
    return orWell(found.flat(), `${found.length} functions are active`);
  },
};

/** Reserved concurrency of 0 is how the console's button "Throttle" stops a function. */
export const functionsMayRun: Check = {
  name: 'concurrency',
  async run(parts) {
    const found = await Promise.all(
      ofType(parts, 'AWS::Lambda::Function').map(async ({ physicalId }) => {
        const { ReservedConcurrentExecutions } = await parts.lambda.send(
          new GetFunctionConcurrencyCommand({ FunctionName: physicalId }),
        );
        return ReservedConcurrentExecutions === 0
          ? [
              wrong(
                `${shortName(parts, physicalId)} may not run: its reserved concurrency is 0`,
                `aws lambda delete-function-concurrency --function-name ${physicalId}`,
              ),
            ]
          : [];
      }),
    );
    return orWell(found.flat(), 'no function is stopped by its reserved concurrency');
  },
};

/** What a function's metric in CloudWatch says of the last hour, and what to do about it. */
const troubles = [
  {
    metric: 'Errors',
    said: (count: number) => `failed ${count} times in the last hour`,
    remedy: (name: string) => `aws logs tail /aws/lambda/${name} --since 1h`,
  },
  {
    metric: 'Throttles',
    said: (count: number) => `was throttled ${count} times in the last hour`,
    remedy: () => 'aws lambda get-account-settings',
  },
] as const;

export const functionErrors: Check = {
  name: 'function errors',
  async run(parts) {
    const asked = ofType(parts, 'AWS::Lambda::Function').flatMap(({ physicalId }) =>
      troubles.map((trouble) => ({ name: physicalId, trouble })),
    );
    const now = parts.now();
    const { MetricDataResults = [] } = await parts.cloudWatch.send(
      new GetMetricDataCommand({
        StartTime: new Date(now.getTime() - hourMs),
        EndTime: now,
        MetricDataQueries: asked.map(({ name, trouble }, at) => ({
          Id: `f${at}`,
          MetricStat: {
            Metric: {
              Namespace: 'AWS/Lambda',
              MetricName: trouble.metric,
              Dimensions: [{ Name: 'FunctionName', Value: name }],
            },
            Period: 3_600,
            Stat: 'Sum',
          },
        })),
      }),
    );
    const failing = MetricDataResults.flatMap(({ Id, Values = [] }) => {
      const count = Values.reduce((sum, value) => sum + value, 0);
      const { name, trouble } = asked[Number(Id?.slice(1))] ?? {};
      return count === 0 || name === undefined || trouble === undefined
        ? []
        : [wrong(`${shortName(parts, name)} ${trouble.said(count)}`, trouble.remedy(name))];
    });
    return orWell(failing, 'no function failed or was throttled in the last hour');
  },
};

const policy = z.object({
  Statement: z.array(z.object({ Effect: z.string(), Principal: z.unknown(), Action: z.unknown() })),
});

/** Lambda answers that a function without permissions has no policy. */
const none = '{"Statement":[]}';

export const rotationPermission: Check = {
  name: 'rotation permission',
  async run(parts) {
    const functionName = `keyturn-${parts.stage}-rotate-secret`;
    const text = await parts.lambda.send(new GetPolicyCommand({ FunctionName: functionName })).then(
      ({ Policy }) => Policy ?? none,
      (error: unknown) => {
        if (error instanceof Error && error.name === 'ResourceNotFoundException') return none;
        throw error;
      },
    );
    const { Statement } = parsed('The policy of rotate-secret', policy, JSON.parse(text));
    const isAllowed = Statement.some(
      ({ Effect, Principal, Action }) =>
        Effect === 'Allow' &&
        JSON.stringify(Principal).includes('secretsmanager.amazonaws.com') &&
        JSON.stringify(Action).includes('lambda:InvokeFunction'),
    );
    return orWell(
      isAllowed
        ? []
        : [
            wrong(
              'Secrets Manager may not invoke rotate-secret: no secret rotates',
              'deploy again: the permission was removed',
            ),
          ],
      'Secrets Manager may invoke rotate-secret',
    );
  },
};

export const mirrorQueueRead: Check = {
  name: 'mirror queue',
  async run(parts) {
    const FunctionName = `keyturn-${parts.stage}-sync-vault-mirror`;
    const states: string[] = [];
    for await (const page of paginateListEventSourceMappings({ client: parts.lambda }, { FunctionName })) {
      states.push(...(page.EventSourceMappings ?? []).map(({ State = '' }) => State));
    }
    return orWell(
      states.includes('Enabled')
        ? []
        : [
            wrong(
              'nothing reads the queue of mirrors',
              `aws lambda update-event-source-mapping --enabled, or deploy again`,
            ),
          ],
      'sync-vault-mirror reads its queue',
    );
  },
};

/** The environment of a deployed function, which holds no secret. */
export async function environmentOf(
  { lambda, stage }: DoctorParts,
  name: string,
): Promise<Readonly<Record<string, string>>> {
  const { Environment } = await lambda.send(
    new GetFunctionConfigurationCommand({ FunctionName: `keyturn-${stage}-${name}` }),
  );
  return Environment?.Variables ?? {};
}
