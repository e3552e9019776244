import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { IAMClient } from '@aws-sdk/client-iam';
import { KMSClient } from '@aws-sdk/client-kms';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SNSClient } from '@aws-sdk/client-sns';
import { STSClient } from '@aws-sdk/client-sts';
import { Command } from 'commander';
import { type Deployment, type DeploymentFlags, onDeployment, openDeployment } from './deployment.ts';
import { type Check, type DoctorParts, type Verdict, verdictsOf } from './doctor/check.ts';
import {
  alertsReachSomebody,
  noAlarmIsOn,
  nothingIsDead,
  rulesAreOn,
  schedulesAreHeld,
} from './doctor/deliveries.ts';
import {
  functionErrors,
  functionsMayRun,
  functionsRun,
  mirrorQueueRead,
  rotationPermission,
} from './doctor/functions.ts';
import { functionsMay } from './doctor/permissions.ts';
import { clockIsRight, keyIsUsable, probesAreFresh, vaultIsEnough } from './doctor/surroundings.ts';
import { exit } from './exit.ts';
import { plain } from './failure.ts';
import { terminal } from './output.ts';
import { queues } from './queues.ts';
import { stackResources } from './stack-resources.ts';

const checks: readonly Check[] = [
  functionsRun,
  functionsMayRun,
  functionErrors,
  rotationPermission,
  functionsMay,
  rulesAreOn,
  mirrorQueueRead,
  schedulesAreHeld,
  nothingIsDead,
  alertsReachSomebody,
  noAlarmIsOn,
  probesAreFresh,
  vaultIsEnough,
  keyIsUsable,
  clockIsRight,
];

/** `keyturn doctor`: whether a deployment is able to do its work, and what to do where it isn't. */
export function doctorCommand(): Command {
  return onDeployment(new Command('doctor'))
    .description('Check a deployment: permissions, rules, alerts, dead letters, Vault, key, clock')
    .addHelpText(
      'after',
      `
It changes nothing. What your credentials may not look at is "unknown". The roles of functions are compared with the template
that was deployed (cloudformation:GetTemplate, iam:ListRolePolicies, GetRolePolicy, ListAttachedRolePolicies) and asked of
IAM's policy simulator (iam:SimulatePrincipalPolicy, SimulateCustomPolicy); Vault's policy by logging in as the mirrors do.

Exits with 3 where something is wrong. --json prints {schemaVersion, stage, at, checks: [{check, state, what, remedy}]}.`,
    )
    .action(doctor);
}

async function doctor(flags: DeploymentFlags): Promise<void> {
  const output = terminal();
  const deployment = await openDeployment(flags);
  const verdicts = await output.during('Looking at the deployment', async () => {
    const parts = await partsOf(deployment);
    return (await Promise.all(checks.map((check) => verdictsOf(check, parts)))).flat();
  });
  const isWrong = verdicts.some(({ state }) => state === 'wrong');
  process.exitCode = isWrong ? exit.attention : exit.done;
  if (flags.json) {
    output.json({ schemaVersion: 1, stage: flags.stage, at: new Date().toISOString(), checks: verdicts });
    return;
  }
  const { green, red, yellow } = output.colors;
  const shown: Readonly<Record<Verdict['state'], (text: string) => string>> = {
    well: green,
    wrong: red,
    unknown: yellow,
  };
  const rows = verdicts.map(({ check, state, what }) => [check, shown[state](state), plain(what)]);
  output.table(['CHECK', 'VERDICT', 'WHAT'], rows);
  const remedies = new Set(
    verdicts.flatMap(({ check, state, remedy }) =>
      state === 'well' || remedy === undefined ? [] : [`${check}: ${plain(remedy)}`],
    ),
  );
  if (remedies.size > 0) output.print('');
  for (const remedy of remedies) output.print(remedy);
}

async function partsOf({ stage, aws, output }: Deployment): Promise<DoctorParts> {
  const cloudFormation = new CloudFormationClient(aws);
  return {
    stage,
    output,
    now: () => new Date(),
    resources: await stackResources(cloudFormation, `keyturn-${stage}`),
    cloudFormation,
    cloudWatch: new CloudWatchClient(aws),
    dynamo: new DynamoDBClient(aws),
    eventBridge: new EventBridgeClient(aws),
    // It makes a call a statement, more than IAM takes at once.
    iam: new IAMClient({ ...aws, maxAttempts: 8 }),
    kms: new KMSClient(aws),
    lambda: new LambdaClient(aws),
    scheduler: new SchedulerClient(aws),
    secretsManager: new SecretsManagerClient(aws),
    sns: new SNSClient(aws),
    sqs: queues(aws),
    sts: new STSClient(aws),
  };
}
