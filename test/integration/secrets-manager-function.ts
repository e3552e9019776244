import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateFunctionCommand, LambdaClient, type LambdaClientConfig } from '@aws-sdk/client-lambda';
import { root } from '../../local/root.ts';

/** A rotation function in one file and without dependencies: it counts a generation up, step by step. */
export const rotatorSource = `
const call = async (operation, input) => {
  const answer = await fetch(process.env.AWS_ENDPOINT_URL, {
    method: 'POST',
    headers: { 'x-amz-target': 'secretsmanager.' + operation, 'user-agent': 'aws-sdk-js/3 keyturn/rotator' },
    body: JSON.stringify(input),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.__type + ': ' + body.Message);
  return body;
};
export const handler = async ({ Step, SecretId, ClientRequestToken }) => {
  if (Step === 'createSecret') {
    const { SecretString } = await call('GetSecretValue', { SecretId });
    const generation = JSON.parse(SecretString).generation + 1;
    await call('PutSecretValue', {
      SecretId, ClientRequestToken, SecretString: JSON.stringify({ generation }), VersionStages: ['AWSPENDING'],
    });
  }
  if (Step === 'finishSecret') {
    const { VersionIdsToStages } = await call('DescribeSecret', { SecretId });
    const [RemoveFromVersionId] = Object.entries(VersionIdsToStages).find(([, own]) => own.includes('AWSCURRENT'));
    await call('UpdateSecretVersionStage', {
      SecretId, VersionStage: 'AWSCURRENT', MoveToVersionId: ClientRequestToken, RemoveFromVersionId,
    });
  }
};
`;

/** Deploys an ES module as a Lambda function and gives its ARN. */
export async function deployFunction(sdk: LambdaClientConfig, name: string, source: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-function-'));
  writeFileSync(join(folder, 'index.mjs'), source);
  const zip = "import zipfile, sys; zipfile.ZipFile('function.zip', 'w').write('index.mjs')";
  execFileSync(join(root, '.keyturn/venv/test/bin/python'), ['-c', zip], { cwd: folder });
  const { FunctionArn } = await new LambdaClient(sdk).send(
    new CreateFunctionCommand({
      FunctionName: name,
      Runtime: 'nodejs24.x',
      Handler: 'index.handler',
      Role: 'arn:aws:iam::000000000000:role/rotator',
      Code: { ZipFile: readFileSync(join(folder, 'function.zip')) },
    }),
  );
  if (FunctionArn === undefined) throw new Error(`function ${name} has no ARN`);
  return FunctionArn;
}
