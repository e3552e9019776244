import { isDeepStrictEqual } from 'node:util';
import { GetTemplateCommand } from '@aws-sdk/client-cloudformation';
import {
  GetRolePolicyCommand,
  type IAMClient,
  ListAttachedRolePoliciesCommand,
  ListRolePoliciesCommand,
} from '@aws-sdk/client-iam';
import pMap from 'p-map';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import type { DoctorParts } from './check.ts';

const oneOrMore = z
  .unknown()
  .transform((value): readonly unknown[] => (Array.isArray(value) ? value : [value]));
const statement = z.object({
  Effect: z.enum(['Allow', 'Deny']),
  Action: z.union([z.string(), z.array(z.string())]).transform((value) => [value].flat()),
  Resource: oneOrMore,
  Condition: z.record(z.string(), z.record(z.string(), oneOrMore)).default({}),
});
/** Of a policy. In a template its resources and values may be expressions, such as `{ Ref: 'AlertTopic' }`. */
export type Statement = z.output<typeof statement>;

const document = z.object({ Statement: z.array(statement) });

const roleProperties = z.object({
  ManagedPolicyArns: z.array(z.unknown()).default([]),
  Policies: z.array(z.object({ PolicyDocument: document })).default([]),
});
/** It names the roles that it is attached to. */
const managedPolicy = z.object({ Roles: z.array(z.unknown()).default([]) });
const template = z.object({
  Resources: z.record(z.string(), z.object({ Type: z.string(), Properties: z.unknown() })),
});

/** A role of the deployment: what its template gives it, and what it has. */
export interface RolePolicies {
  /** As functions/NAME/deploy.yml calls it. */
  readonly logicalId: string;
  readonly roleName: string;
  readonly deployed: readonly Statement[];
  readonly deployedManaged: readonly unknown[];
  readonly held: readonly Statement[];
  readonly heldManaged: readonly string[];
}

/** The roles that this deployment made. Its template is the very one that was deployed, of whichever version of Keyturn. */
export async function rolePolicies({
  stage,
  cloudFormation,
  iam,
  resources,
}: DoctorParts): Promise<readonly RolePolicies[]> {
  const { TemplateBody = '{}' } = await cloudFormation.send(
    new GetTemplateCommand({ StackName: `keyturn-${stage}` }),
  );
  const { Resources } = parsed("The stack's template", template, JSON.parse(TemplateBody));
  const roles = Object.entries(Resources).filter(([, { Type }]) => Type === 'AWS::IAM::Role');
  const attachedByItself = Object.entries(Resources).flatMap(([policy, { Type, Properties }]) =>
    Type === 'AWS::IAM::ManagedPolicy'
      ? parsed(`The policy ${policy}`, managedPolicy, Properties).Roles.map((role) => ({ policy, role }))
      : [],
  );
  const toBeAttachedTo = (logicalId: string) =>
    attachedByItself.flatMap(({ policy, role }) =>
      isDeepStrictEqual(role, { Ref: logicalId }) ? { Ref: policy } : [],
    );
  return pMap(
    roles,
    async ([logicalId, { Properties }]) => {
      const { Policies, ManagedPolicyArns } = parsed(`The role ${logicalId}`, roleProperties, Properties);
      const roleName = resources.find((each) => each.logicalId === logicalId)?.physicalId ?? logicalId;
      return {
        logicalId,
        roleName,
        deployed: Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement),
        deployedManaged: [...ManagedPolicyArns, ...toBeAttachedTo(logicalId)],
        ...(await heldBy(iam, roleName)),
      };
    },
    { concurrency: 4 },
  );
}

async function heldBy(iam: IAMClient, RoleName: string): Promise<Pick<RolePolicies, 'held' | 'heldManaged'>> {
  try {
    const { PolicyNames = [] } = await iam.send(new ListRolePoliciesCommand({ RoleName }));
    const { AttachedPolicies = [] } = await iam.send(new ListAttachedRolePoliciesCommand({ RoleName }));
    const inline = await pMap(
      PolicyNames,
      async (PolicyName) => {
        const { PolicyDocument = '{}' } = await iam.send(new GetRolePolicyCommand({ RoleName, PolicyName }));
        const read: unknown = JSON.parse(decodeURIComponent(PolicyDocument));
        return parsed(`The policy ${PolicyName} of ${RoleName}`, document, read).Statement;
      },
      { concurrency: 1 },
    );
    return { held: inline.flat(), heldManaged: AttachedPolicies.flatMap(({ PolicyArn }) => PolicyArn ?? []) };
  } catch (error) {
    if (error instanceof Error && error.name.startsWith('NoSuchEntity')) return { held: [], heldManaged: [] };
    throw error;
  }
}
