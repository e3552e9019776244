import { describe, expect, it } from 'vitest';
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
        if (resource === '*') expect(withoutResource).toContain(action);
      }
    }
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
      { condition: { Bool: { 'secretsmanager:ModifyRotationRules': 'false' } } },
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
