import { isDeepStrictEqual } from 'node:util';
import {
  CreatePolicyCommand,
  CreatePolicyVersionCommand,
  DeletePolicyCommand,
  DeletePolicyVersionCommand,
  DetachGroupPolicyCommand,
  DetachRolePolicyCommand,
  DetachUserPolicyCommand,
  GetPolicyCommand,
  GetPolicyVersionCommand,
  type IAMClient,
  NoSuchEntityException,
  paginateListEntitiesForPolicy,
  paginateListPolicyVersions,
} from '@aws-sdk/client-iam';
import type { Change } from '../change.ts';
import type { Declaration } from '../declaration.ts';
import { textDiff } from '../diff.ts';
import { agentPolicy, type IamDeployment, iamPolicyName } from './policy.ts';

/** Where the agents' policies are, and the deployment whose bus, topic and key they name. */
export interface IamParts {
  readonly iam: IAMClient;
  readonly deployment: IamDeployment;
}

/** IAM keeps as many versions of a policy. */
const versionsKept = 5;

/**
 * Makes an agent's managed policy what its declaration asks for. Who it is attached to is the platform's affair: Keyturn makes no
 * role. Reads only.
 */
export async function planIam(
  { agentId }: Pick<Declaration, 'agentId'>,
  { iam, deployment }: IamParts,
): Promise<readonly Change[]> {
  const name = iamPolicyName(deployment.stage, agentId);
  const arn = policyArnOf(agentId, deployment);
  const wanted = agentPolicy(agentId, deployment);
  const found = await documentOf(iam, arn);
  if (found !== undefined && isDeepStrictEqual(found, wanted)) return [];
  const PolicyDocument = JSON.stringify(wanted);
  const change = { system: 'IAM', resource: `policy ${name}`, diff: diffOf(found, wanted) } as const;
  if (found === undefined) {
    return [
      {
        ...change,
        action: 'create',
        apply: async () =>
          void (await iam.send(
            new CreatePolicyCommand({
              PolicyName: name,
              PolicyDocument,
              Description: `Agent ${agentId}, kept by Keyturn`,
              Tags: [{ Key: 'managed_by', Value: 'agent-platform' }],
            }),
          )),
      },
    ];
  }
  return [
    {
      ...change,
      action: 'update',
      async apply() {
        const old = (await versionsOf(iam, arn)).filter(({ IsDefaultVersion }) => !IsDefaultVersion);
        // Killed between the two, there is room for the next run, and the version in force is as it was.
        const [oldest] = old.toSorted((a, b) => Number(a.CreateDate) - Number(b.CreateDate));
        if (oldest && old.length >= versionsKept - 1) {
          await iam.send(new DeletePolicyVersionCommand({ PolicyArn: arn, VersionId: oldest.VersionId }));
        }
        await iam.send(
          new CreatePolicyVersionCommand({ PolicyArn: arn, PolicyDocument, SetAsDefault: true }),
        );
      },
    },
  ];
}

/**
 * Takes an agent's managed policy from all that it is attached to, which ends what it granted, and deletes it. IAM deletes it only
 * without attachments and old versions: killed anywhere, the next run goes on with those that are left. Reads only.
 */
export async function planIamEnd(
  { agentId }: Pick<Declaration, 'agentId'>,
  { iam, deployment }: IamParts,
): Promise<readonly Change[]> {
  const PolicyArn = policyArnOf(agentId, deployment);
  if ((await documentOf(iam, PolicyArn)) === undefined) return [];
  const resource = `policy ${iamPolicyName(deployment.stage, agentId)}`;
  return [
    {
      system: 'IAM',
      resource,
      action: 'delete',
      diff: [`- ${resource}`],
      async apply() {
        for await (const page of paginateListEntitiesForPolicy({ client: iam }, { PolicyArn })) {
          for (const { RoleName } of page.PolicyRoles ?? [])
            await iam.send(new DetachRolePolicyCommand({ PolicyArn, RoleName }));
          for (const { UserName } of page.PolicyUsers ?? [])
            await iam.send(new DetachUserPolicyCommand({ PolicyArn, UserName }));
          for (const { GroupName } of page.PolicyGroups ?? [])
            await iam.send(new DetachGroupPolicyCommand({ PolicyArn, GroupName }));
        }
        for (const { VersionId, IsDefaultVersion } of await versionsOf(iam, PolicyArn)) {
          if (!IsDefaultVersion) await iam.send(new DeletePolicyVersionCommand({ PolicyArn, VersionId }));
        }
        await iam.send(new DeletePolicyCommand({ PolicyArn }));
      },
    },
  ];
}

function policyArnOf(agentId: string, { stage, invalidationTopicArn }: IamDeployment): string {
  const [, partition, , , account] = invalidationTopicArn.split(':');
  return `arn:${partition}:iam::${account}:policy/${iamPolicyName(stage, agentId)}`;
}

/** The version in force; undefined where there is no such policy. */
async function documentOf(iam: IAMClient, PolicyArn: string): Promise<object | undefined> {
  try {
    const { Policy } = await iam.send(new GetPolicyCommand({ PolicyArn }));
    const { PolicyVersion } = await iam.send(
      new GetPolicyVersionCommand({ PolicyArn, VersionId: Policy?.DefaultVersionId }),
    );
    return documentIn(PolicyVersion?.Document ?? '');
  } catch (error) {
    if (error instanceof NoSuchEntityException) return undefined;
    throw error;
  }
}

/** URL-encoded, as IAM gives it. One that can't be read is one that differs. */
function documentIn(text: string): object {
  try {
    return Object(JSON.parse(decodeURIComponent(text)));
  } catch {
    return {};
  }
}

async function versionsOf(iam: IAMClient, PolicyArn: string) {
  const versions = [];
  for await (const page of paginateListPolicyVersions({ client: iam }, { PolicyArn })) {
    versions.push(...(page.Versions ?? []));
  }
  return versions;
}

const diffOf = (found: object | undefined, wanted: object) =>
  textDiff(found && linesOf(found), linesOf(wanted)) ?? [];

/** A line a statement: no line of one statement can pass for another's, as in JSON. */
function linesOf(policy: object): string {
  const { Statement = [], ...head }: Readonly<Record<string, unknown>> = Object.fromEntries(
    Object.entries(policy),
  );
  return [JSON.stringify(head), ...[Statement].flat().map(lineOf)].join('\n');
}

function lineOf(statement: unknown): string {
  const given: Readonly<Record<string, unknown>> = Object(statement);
  const { Sid = 'statement', Effect, Action, Resource, Condition, ...more } = given;
  const words = [`${Sid}: ${Effect} ${listed(Action)} on ${listed(Resource)}`];
  if (Condition !== undefined) words.push(`if ${JSON.stringify(Condition)}`);
  if (Object.keys(more).length > 0) words.push(JSON.stringify(more));
  return words.join(' ');
}

const listed = (values: unknown) => [values ?? 'none'].flat().join(', ');
