import {
  type ContextEntry,
  type EvaluationResult,
  type IAMClient,
  SimulateCustomPolicyCommand,
  SimulatePrincipalPolicyCommand,
  type SimulatePrincipalPolicyCommandInput,
} from '@aws-sdk/client-iam';
import type { Statement } from './role-policies.ts';

/**
 * A request that a statement lets through, as the policy simulator is asked about it: actions and resources without wildcards, and
 * a value for each key of its conditions. A key that isn't given fails its condition there.
 */
export function requestFor({
  Action,
  Resource,
  Condition,
}: Statement): Pick<SimulatePrincipalPolicyCommandInput, 'ActionNames' | 'ResourceArns' | 'ContextEntries'> {
  return {
    ActionNames: Action.map((action) => action.replace(/\*$/, '')),
    ResourceArns: Resource.map((resource) => (resource === '*' ? '*' : filled(resource))),
    ContextEntries: Object.entries(Condition).flatMap(([operator, keys]) =>
      Object.entries(keys).map(([key, values]) => entryFor(operator, key, values)),
    ),
  };
}

/** What matches a pattern. */
const filled = (pattern: unknown): string =>
  String(pattern).replaceAll('*', 'keyturn-doctor').replaceAll('?', 'x');

const types: Readonly<Record<string, 'string' | 'boolean'>> = {
  StringEquals: 'string',
  StringLike: 'string',
  ArnEquals: 'string',
  ArnLike: 'string',
  Bool: 'boolean',
  BoolIfExists: 'boolean',
};

function entryFor(operator: string, ContextKeyName: string, [first]: readonly unknown[]): ContextEntry {
  const [, ofMany, comparison = ''] = /^(ForAllValues:|ForAnyValue:)?(.*)$/.exec(operator) ?? [];
  const type = types[comparison];
  if (type === undefined) return { ContextKeyName, ContextKeyType: 'string', ContextKeyValues: [] };
  return {
    ContextKeyName,
    ContextKeyType: ofMany === undefined ? type : `${type}List`,
    ContextKeyValues: [comparison.endsWith('Equals') ? String(first) : filled(first)],
  };
}

/** The actions of a statement that its role may not take after all. */
export async function refusedOf(
  iam: IAMClient,
  roleArn: string,
  statement: Statement,
): Promise<readonly EvaluationResult[]> {
  const { EvaluationResults = [] } = await iam.send(
    new SimulatePrincipalPolicyCommand({ PolicySourceArn: roleArn, ...requestFor(statement) }),
  );
  return EvaluationResults.filter(({ EvalDecision }) => EvalDecision !== 'allowed');
}

/** AWS's simulator does; an emulator's may not, and then what it refuses on a condition says nothing. */
export async function knowsConditions(iam: IAMClient): Promise<boolean> {
  const Action = 'events:PutEvents';
  const Condition = { StringEquals: { 'events:source': 'keyturn' } };
  const Statement = [{ Effect: 'Allow', Action, Resource: '*', Condition }];
  const { EvaluationResults = [] } = await iam.send(
    new SimulateCustomPolicyCommand({
      PolicyInputList: [JSON.stringify({ Version: '2012-10-17', Statement })],
      ActionNames: [Action],
      ResourceArns: ['*'],
      ContextEntries: [
        { ContextKeyName: 'events:source', ContextKeyType: 'string', ContextKeyValues: ['keyturn'] },
      ],
    }),
  );
  return EvaluationResults.every(({ EvalDecision }) => EvalDecision === 'allowed');
}
