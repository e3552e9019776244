import { GetTemplateCommand } from '@aws-sdk/client-cloudformation';
import {
  GetRolePolicyCommand,
  ListAttachedRolePoliciesCommand,
  ListRolePoliciesCommand,
  SimulateCustomPolicyCommand,
  SimulatePrincipalPolicyCommand,
} from '@aws-sdk/client-iam';
import { mockClient } from 'aws-sdk-client-mock';
import { beforeEach, describe, expect, it } from 'vitest';
import { verdictsOf } from '../../../cli/doctor/check.ts';
import { functionsMay } from '../../../cli/doctor/permissions.ts';
import { allows } from '../provisioning/policy-evaluation.ts';
import { doctorParts } from './doctor-parts.ts';
import { filledIn, type HeldStatement, template } from './stack-of-the-sources.ts';

const { resources, roles } = filledIn();
const parts = doctorParts(resources);
const cloudFormation = mockClient(parts.cloudFormation);
const iam = mockClient(parts.iam);

let held: Record<string, HeldStatement[]>;
let attached: string[];
const roleOf = (RoleName = '') => RoleName.replace('keyturn-dev-', '');
const decided = (isAllowed: boolean) => (isAllowed ? 'allowed' : 'implicitDeny');

beforeEach(() => {
  held = structuredClone(roles);
  attached = [];
  cloudFormation.on(GetTemplateCommand).resolves({ TemplateBody: JSON.stringify(template) });
  iam.reset();
  iam.on(ListRolePoliciesCommand).resolves({ PolicyNames: ['exactly-what-it-calls'] });
  iam.on(ListAttachedRolePoliciesCommand).callsFake(async () => ({
    AttachedPolicies: attached.map((PolicyArn) => ({ PolicyArn })),
  }));
  iam.on(GetRolePolicyCommand).callsFake(async ({ RoleName }) => ({
    PolicyDocument: encodeURIComponent(JSON.stringify(policyOf(roleOf(RoleName)))),
  }));
  iam.on(SimulateCustomPolicyCommand).resolves({ EvaluationResults: [] });
  iam.on(SimulatePrincipalPolicyCommand).callsFake(async ({ PolicySourceArn, ...asked }) => ({
    EvaluationResults: simulated(policyOf(roleOf(PolicySourceArn.split('/').at(-1))), asked),
  }));
});
const policyOf = (role: string) => ({ Version: '2012-10-17', Statement: held[role] ?? [] });

interface Asked {
  readonly ActionNames: readonly string[];
  readonly ResourceArns: readonly string[];
  readonly ContextEntries: readonly { ContextKeyName: string; ContextKeyValues: readonly string[] }[];
}
const simulated = (policy: object, { ActionNames, ResourceArns, ContextEntries }: Asked) => {
  const context = Object.fromEntries(
    ContextEntries.map(({ ContextKeyName, ContextKeyValues: [value = ''] }) => [ContextKeyName, value]),
  );
  return ActionNames.map((action) => ({
    EvalActionName: action,
    EvalDecision: decided(ResourceArns.every((resource) => allows(policy, { action, resource, context }))),
  }));
};

const found = async () =>
  (await verdictsOf(functionsMay, parts)).map(({ state, what }) => `${state}: ${what}`);
const asDeployed = `well: ${Object.keys(roles).length} roles are as they were deployed`;
const mayAll = 'well: each may do what it has to, by the policy simulator';
const asked = () =>
  iam.commandCalls(SimulatePrincipalPolicyCommand).flatMap(({ args: [{ input }] }) => {
    const role = roleOf(input.PolicySourceArn?.split('/').at(-1));
    return (input.ActionNames ?? []).map((action) => ({ role, action, entries: input.ContextEntries ?? [] }));
  });

describe('keyturn doctor on the permissions of functions', () => {
  it('finds all well where each role has what its deploy.yml says, conditions included', async () => {
    expect(await found()).toEqual([asDeployed, mayAll]);
  });

  it('asks about every permission that any deploy.yml gives', async () => {
    await found();
    const given = Object.entries(roles).flatMap(([role, statements]) =>
      statements.flatMap(({ Action }) =>
        [Action].flat().map((action) => `${role} ${action.replace('*', '')}`),
      ),
    );
    expect(
      asked()
        .map(({ role, action }) => `${role} ${action}`)
        .toSorted(),
    ).toEqual(given.toSorted());
  });

  it('misses each statement that a role lost, and each that lost an action', async () => {
    iam.on(SimulatePrincipalPolicyCommand).resolves({});
    const most = Math.max(...Object.values(roles).map(({ length }) => length));
    for (let at = 0; at < most; at += 1) {
      const losing = Object.entries(roles).filter(([, { length }]) => length > at);
      const lost = losing.map(([role, statements]) => {
        const actions = [statements[at]?.Action ?? []].flat();
        return `wrong: ${role} lost a statement: Allow ${actions.join(', ')}`;
      });
      const changed = (change: (statement: HeldStatement) => readonly HeldStatement[]) =>
        Object.fromEntries(
          losing.map(([role, all]) => [
            role,
            all.flatMap((each, index) => (index === at ? change(each) : [each])),
          ]),
        );
      held = { ...roles, ...changed(() => []) };
      expect(await found()).toEqual(expect.arrayContaining(lost));
      held = { ...roles, ...changed((each) => [{ ...each, Action: [each.Action].flat().slice(1) }]) };
      expect(await found()).toEqual(expect.arrayContaining(lost));
    }
  });

  it('asks for kms:Decrypt as a service asks on behalf of a function, and does not miss it', async () => {
    await found();
    const decrypting = asked().filter(
      ({ role, action }) => role === 'RotateSecretRole' && action === 'kms:Decrypt',
    );
    expect(decrypting.flatMap(({ entries }) => entries)).toContainEqual({
      ContextKeyName: 'kms:ViaService',
      ContextKeyType: 'string',
      ContextKeyValues: ['secretsmanager.eu-central-1.amazonaws.com'],
    });
    expect(decrypting.flatMap(({ entries }) => entries)).toContainEqual({
      ContextKeyName: 'kms:EncryptionContext:SecretARN',
      ContextKeyType: 'string',
      ContextKeyValues: [
        expect.stringMatching(/^arn:aws:secretsmanager:eu-central-1:123456789012:secret:agents\/[a-z-]+$/),
      ],
    });
  });

  it('finds what somebody added by hand: a statement, a wider resource, an attached policy', async () => {
    const statement = { Effect: 'Allow', Action: 'secretsmanager:*', Resource: '*' };
    held.InvalidateCachesRole?.push(statement);
    attached = ['arn:aws:iam::aws:policy/AdministratorAccess'];
    const [widened] = held.RecordAdoptionRole ?? [];
    if (widened) widened.Resource = '*';
    const verdicts = await found();
    expect(verdicts).toContain(
      'wrong: InvalidateCachesRole has a statement that was not deployed: Allow secretsmanager:*',
    );
    expect(verdicts).toContain(
      'wrong: InvalidateCachesRole has a policy that was not deployed: arn:aws:iam::aws:policy/AdministratorAccess',
    );
    expect(verdicts).toContainEqual(
      expect.stringContaining('wrong: RecordAdoptionRole has a statement that was not deployed'),
    );
  });

  it('knows a policy that says by itself which roles it is attached to, as that for tracing does', async () => {
    const Roles = Object.keys(roles).map((Ref) => ({ Ref }));
    const traced = {
      ...template.Resources,
      SendTraces: { Type: 'AWS::IAM::ManagedPolicy', Properties: { Roles } },
    };
    cloudFormation.on(GetTemplateCommand).resolves({ TemplateBody: JSON.stringify({ Resources: traced }) });
    const physicalId = 'arn:aws:iam::123456789012:policy/keyturn-dev-SendTraces';
    const withIt = { ...parts, resources: [...resources, { logicalId: 'SendTraces', physicalId, type: '' }] };
    const states = async () => (await verdictsOf(functionsMay, withIt)).map(({ what }) => what);
    expect(await states()).toContain('RotateSecretRole lost a policy that was attached to it');
    attached = [physicalId];
    expect(await states()).toEqual([asDeployed, mayAll].map((each) => each.replace('well: ', '')));
  });

  it('says who takes away what a role has: a boundary, or the organisation', async () => {
    const denied = { EvalActionName: 'sns:Publish', EvalDecision: 'implicitDeny' as const };
    const told = async (detail: object) => {
      iam
        .on(SimulatePrincipalPolicyCommand, { ActionNames: ['sns:Publish'] })
        .resolves({ EvaluationResults: [{ ...denied, ...detail }] });
      const all = await verdictsOf(functionsMay, parts);
      return all.find(({ what }) => what === 'InvalidateCachesRole may not sns:Publish')?.remedy;
    };
    expect(await told({ PermissionsBoundaryDecisionDetail: { AllowedByPermissionsBoundary: false } })).toBe(
      "look at the role's permissions boundary",
    );
    expect(await told({ OrganizationsDecisionDetail: { AllowedByOrganizations: false } })).toBe(
      "look at the organisation's policies (SCP)",
    );
  });

  it('calls nothing wrong that its operator may not look at', async () => {
    const refused = (action: string) =>
      Object.assign(new Error(`User: u is not authorized to perform: ${action} on resource: r`), {
        name: 'AccessDenied',
        $metadata: {},
      });
    iam.on(SimulatePrincipalPolicyCommand).rejects(refused('iam:SimulatePrincipalPolicy'));
    expect(await found()).toEqual([
      asDeployed,
      'unknown: the policy simulator could not be asked: AWS refused iam:SimulatePrincipalPolicy: these credentials may not do that',
    ]);
    iam.on(GetRolePolicyCommand).rejects(refused('iam:GetRolePolicy'));
    expect(await found()).toEqual([
      'unknown: AWS refused iam:GetRolePolicy: these credentials may not do that',
    ]);
  });

  it('does not take a simulator that knows no conditions at its word', async () => {
    iam.on(SimulateCustomPolicyCommand).resolves({
      EvaluationResults: [{ EvalActionName: 'events:PutEvents', EvalDecision: 'implicitDeny' }],
    });
    const [first, second, ...more] = await found();
    expect([first, more]).toEqual([asDeployed, []]);
    expect(second).toMatch(/^unknown: \d+ statements have conditions, which this policy simulator ignores$/);
    expect(asked().every(({ entries }) => entries.length === 0)).toBe(true);
  });

  it('finds a role that is gone', async () => {
    const gone = Object.assign(new Error('gone'), { name: 'NoSuchEntityException', $metadata: {} });
    iam.on(ListRolePoliciesCommand, { RoleName: 'keyturn-dev-RotateSecretRole' }).rejects(gone);
    expect(await found()).toContainEqual(expect.stringContaining('wrong: RotateSecretRole lost a statement'));
  });
});
