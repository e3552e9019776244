import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../../../local/root.ts';
import { allowedBy, allResources, functions, ofType } from './template.ts';

/** The actions that AWS gives no resource of their own: the only ones that may have `*`. */
const withoutResource = [
  'secretsmanager:BatchGetSecretValue',
  'secretsmanager:ListSecrets',
  'scheduler:ListSchedules',
];

describe('what a deployment lets each function do', () => {
  it.each(functions)('$name has a role of its own', ({ name, function: { role } }) => {
    expect(Object.keys(functions.find((one) => one.name === name)?.resources ?? {})).toContain(role);
    expect(functions.filter((one) => one.function.role === role)).toHaveLength(1);
  });

  it.each(ofType('AWS::IAM::Role'))('%s names every action and every resource', (_id, role) => {
    for (const { actions, resource } of allowedBy(role)) {
      for (const action of actions) {
        expect(action).toMatch(/^[a-z]+:[A-Za-z]+$|^kms:GenerateDataKey\*$/);
        if (JSON.stringify(resource).includes('"*"')) expect(withoutResource).toContain(action);
      }
    }
  });

  /** What a role may name as a resource. A `*` stands at the end only: for the suffix of a secret, a stream of its own log. */
  const named = [
    /^secret:\$\{param:(agentSecrets|adminSecrets)\}$/,
    /^secret:\$\{param:(vaultLoginSecret|mirrorDigestSecret)\}-\*$/,
    /^log-group:\/aws\/lambda\/\$\{self:service\}-\$\{sls:stage\}-[a-z-]+:\*$/,
    /^function:\$\{self:service\}-\$\{sls:stage\}-[a-z-]+$/,
    /^schedule\/\$\{GraceSchedules\}\/\*$/,
  ];
  it.each(ofType('AWS::IAM::Role'))('%s reaches nothing that is not of this deployment', (_id, role) => {
    for (const { actions, resource } of allowedBy(role)) {
      for (const one of [resource].flat()) {
        if (one === '*') continue;
        const text = JSON.stringify(one);
        const arn =
          /^\{"Fn::Sub":"arn:\$\{AWS::Partition\}:[a-z]+:\$\{AWS::Region\}:\$\{AWS::AccountId\}:(.*)"\}$/.exec(
            text,
          )?.[1];
        if (arn === undefined) expect(text).toMatch(/^\{"(Ref":"\w+|Fn::GetAtt":"\w+\.Arn)"\}$/);
        else expect([actions, arn, named.some((pattern) => pattern.test(arn))]).toEqual([actions, arn, true]);
      }
    }
  });

  it.each(functions)('$name writes its own log, and no other', ({ name, function: { role } }) => {
    const logs = allowedBy(allResources[role] ?? { Type: 'none', Properties: {} })
      .filter(({ actions }) => actions.some((action) => action.startsWith('logs:')))
      .map(({ resource }) => JSON.stringify(resource));
    expect(logs).toEqual([expect.stringContaining(`-${name}:*"`)]);
  });

  it.each(ofType('AWS::IAM::Role'))('%s has no condition that lets in all but what it names', (_id, role) => {
    const narrowing = /^(StringEquals|StringLike|ArnEquals|ArnLike|Bool|ForAllValues:StringLike)$/;
    for (const { condition } of allowedBy(role))
      for (const [operator, keys] of Object.entries(condition)) {
        // What is refused is a call that says so: whoever gives rules has the key.
        if (operator === 'BoolIfExists') expect(Object.values(keys)).toEqual(['false']);
        else expect(operator).toMatch(narrowing);
      }
  });

  it('the one policy that a role shares is for the network of a function in a VPC', () => {
    const fromNetwork = /^\$\{file\(shared\/deployment\/network\/\$\{param:network\}\.yml\):policies\}$/;
    const withPolicies = ofType('AWS::IAM::Role').filter(
      ([, { Properties }]) => Properties.ManagedPolicyArns,
    );
    for (const [, { Properties }] of withPolicies) expect(Properties.ManagedPolicyArns).toMatch(fromNetwork);
    const inNetwork = functions.filter((one) => one.function.vpc).map((one) => one.function.role);
    expect(withPolicies.map(([id]) => id).sort()).toEqual(inNetwork.sort());
    const inVpc = readFileSync(join(root, 'shared/deployment/network/vpc.yml'), 'utf8');
    expect(inVpc).toContain('policies: [!Ref NetworkInterfaces]');
    expect(inVpc).toContain('Condition: { "Null": { "lambda:SourceFunctionArn": "true" } }');
    expect([...inVpc.matchAll(/(\w+:\w+),?$/gm)].map(([, action]) => action)).toEqual([
      'ec2:CreateNetworkInterface',
      'ec2:DescribeNetworkInterfaces',
      'ec2:DescribeSubnets',
      'ec2:DeleteNetworkInterface',
      'ec2:AssignPrivateIpAddresses',
      'ec2:UnassignPrivateIpAddresses',
    ]);
    expect(readFileSync(join(root, 'shared/deployment/network/public.yml'), 'utf8')).toContain(
      'policies: []',
    );
  });

  it('lets only rotate-secret write secrets; the reconciler may let a pending version go', () => {
    const writers = ofType('AWS::IAM::Role').filter(([, role]) =>
      allowedBy(role).some(
        ({ actions, condition }) =>
          actions.some((action) => /secretsmanager:(Put|Update|Delete|Create|Tag)/.test(action)) &&
          condition.StringEquals?.['secretsmanager:VersionStage'] !== 'AWSPENDING',
      ),
    );
    expect(writers.map(([id]) => id)).toEqual(['RotateSecretRole']);
  });

  it('never lets the reconciler move AWSCURRENT, or have another function rotate', () => {
    const role = allResources.ReconcileFleetRole;
    if (!role) throw new Error('The role is gone');
    const of = (action: string) => allowedBy(role).filter(({ actions }) => actions.includes(action));
    expect(of('secretsmanager:UpdateSecretVersionStage')).toMatchObject([
      { condition: { StringEquals: { 'secretsmanager:VersionStage': 'AWSPENDING' } } },
    ]);
    expect(of('secretsmanager:RotateSecret')).toMatchObject([
      { condition: { BoolIfExists: { 'secretsmanager:ModifyRotationRules': 'false' } } },
      {
        condition: {
          ArnEquals: {
            'secretsmanager:RotationLambdaARN': { 'Fn::Sub': expect.stringMatching(/-rotate-secret$/) },
          },
        },
      },
    ]);
  });

  it('never lets announce-rotation and invalidate-caches read a value or the key that opens it', () => {
    for (const id of ['AnnounceRotationRole', 'InvalidateCachesRole']) {
      const role = allResources[id];
      if (!role) throw new Error(`${id} is gone`);
      expect(allowedBy(role).flatMap(({ actions }) => actions)).not.toContain(
        'secretsmanager:GetSecretValue',
      );
    }
  });

  it("takes Secrets Manager's invocations from this account alone", () => {
    const permission = ofType('AWS::Lambda::Permission').find(
      ([, one]) => one.Properties.Principal === 'secretsmanager.amazonaws.com',
    );
    expect(permission?.[1].Properties.SourceAccount).toEqual({ Ref: 'AWS::AccountId' });
  });
});
