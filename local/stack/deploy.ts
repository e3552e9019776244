import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { root } from '../root.ts';

/** What the deployment gives, by the names of its outputs: the same that an AWS stage gives. */
export type Outputs = Readonly<Record<string, string>>;

/** Runs the very `serverless deploy` that an AWS stage gets, against the local endpoint. */
export async function deploy(options: {
  environment: Readonly<Record<string, string>>;
  vaultAddress: string;
  logFile: string;
}): Promise<Outputs> {
  const { environment, vaultAddress, logFile } = options;
  const log = openSync(logFile, 'a');
  const bin = join(root, 'node_modules/.bin');
  const serverless = spawn(
    join(bin, 'serverless'),
    ['deploy', '--stage', 'local', `--param=vaultAddress=${vaultAddress}`],
    {
      cwd: root,
      env: { ...process.env, ...environment, PATH: [bin, process.env.PATH].join(delimiter) },
      stdio: ['ignore', log, log],
    },
  );
  const [code] = await once(serverless, 'exit');
  closeSync(log);
  if (code !== 0) throw new Error(`serverless deploy failed; see ${logFile}`);
  const cloudFormation = new CloudFormationClient({
    endpoint: environment.AWS_ENDPOINT_URL ?? '',
    region: environment.AWS_REGION ?? '',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const { Stacks = [] } = await cloudFormation.send(
    new DescribeStacksCommand({ StackName: 'keyturn-local' }),
  );
  cloudFormation.destroy();
  return Object.fromEntries(
    (Stacks[0]?.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey ?? '', OutputValue ?? '']),
  );
}
