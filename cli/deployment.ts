import { type Command, Option } from 'commander';
import * as z from 'zod';
import { parsed } from '../events/contract.ts';
import { sentenceOf } from './failure.ts';

/** The flags of every command that works on a deployment, named as the AWS CLI names them. */
export interface DeploymentFlags {
  readonly stage: string;
  readonly region?: string;
  readonly profile?: string;
  readonly json: boolean;
}

/** There is no such deployment, or it can't be seen with these credentials. */
export class DeploymentError extends Error {
  override readonly name = 'DeploymentError';
}

/** Adds `--stage`, `--region`, `--profile` and `--json`. */
export function onDeployment(command: Command): Command {
  return command
    .addOption(
      new Option('--stage <stage>', 'the stage that was deployed').env('KEYTURN_STAGE').default('dev'),
    )
    .addOption(new Option('--region <region>', "default: the profile's").env('AWS_REGION'))
    .addOption(new Option('--profile <profile>', "of the AWS CLI's configuration").env('AWS_PROFILE'))
    .option('--json', 'print JSON, for a machine', false);
}

/** What a command knows of a deployment: how to make clients, and the outputs of its stack. */
export interface Deployment {
  readonly stage: string;
  /** For each AWS client that a command makes. */
  readonly aws: { readonly region?: string; readonly profile?: string; readonly customUserAgent: string };
  /** An output of the stack, such as `BusName`. @throws DeploymentError */
  output(name: string): string;
}

const environment = z.object({
  /** The AWS CLI knows it, AWS's SDK doesn't. */
  AWS_DEFAULT_REGION: z.string().optional(),
});

/** @throws DeploymentError */
export async function openDeployment({
  stage,
  profile,
  region = parsed('The environment', environment, process.env).AWS_DEFAULT_REGION,
}: DeploymentFlags): Promise<Deployment> {
  const { CloudFormationClient, DescribeStacksCommand } = await import('@aws-sdk/client-cloudformation');
  const aws = {
    customUserAgent: 'keyturn-cli',
    ...(region !== undefined && { region }),
    ...(profile !== undefined && { profile }),
  };
  const cloudFormation = new CloudFormationClient(aws);
  const stackName = `keyturn-${stage}`;
  const outputs = await cloudFormation.send(new DescribeStacksCommand({ StackName: stackName })).then(
    ({ Stacks = [] }) =>
      new Map((Stacks[0]?.Outputs ?? []).map((each) => [each.OutputKey, each.OutputValue])),
    (error: unknown) => {
      const isMissing = error instanceof Error && error.name === 'ValidationError';
      throw new DeploymentError(
        isMissing
          ? `there is no stack ${stackName} here: look at --stage, --region, --profile`
          : `the stack ${stackName} can't be read: ${sentenceOf(error)}`,
      );
    },
  );
  return {
    stage,
    aws,
    output(name) {
      const value = outputs.get(name);
      if (value === undefined) {
        throw new DeploymentError(
          `the stack ${stackName} has no output ${name}: deploy this version of Keyturn`,
        );
      }
      return value;
    },
  };
}
