import * as z from 'zod';
import type { Resource } from './template.ts';

const operators = z.record(z.string(), z.record(z.string(), z.unknown()));
const statement = z.object({
  Effect: z.enum(['Allow', 'Deny']),
  Principal: z.unknown().optional(),
  Action: z.union([z.string(), z.array(z.string())]),
  Resource: z.unknown().optional(),
  Condition: operators.default({}),
});
const document = z.object({ Statement: z.array(statement) });

/** One statement of a policy, its conditions by their key: `kms:ViaService` -> the values that it is compared with. */
export interface Statement {
  readonly effect: 'Allow' | 'Deny';
  readonly principal: unknown;
  readonly actions: readonly string[];
  readonly resource: unknown;
  readonly conditions: Readonly<Record<string, readonly unknown[]>>;
  /** How each of those keys is compared: `aws:SourceAccount` -> `StringEquals`. */
  readonly operators: Readonly<Record<string, string>>;
}

/** The statements of a policy's document. */
export const statementsOf = (policyDocument: unknown): Statement[] =>
  document.parse(policyDocument).Statement.map((one) => ({
    effect: one.Effect,
    principal: one.Principal,
    actions: [one.Action].flat(),
    resource: one.Resource,
    conditions: Object.fromEntries(
      Object.values(one.Condition).flatMap((keys) =>
        Object.entries(keys).map(([key, values]) => [key, [values].flat()]),
      ),
    ),
    operators: Object.fromEntries(
      Object.entries(one.Condition).flatMap(([operator, keys]) =>
        Object.keys(keys).map((key) => [key, operator]),
      ),
    ),
  }));

const policies = z.array(z.object({ PolicyDocument: z.unknown() }));

/** The statements of a role's own policies. */
export const statementsOfRole = (role: Resource): Statement[] =>
  policies.parse(role.Properties.Policies).flatMap(({ PolicyDocument }) => statementsOf(PolicyDocument));

/** `sqs` of `!Sub sqs.${AWS::Region}.amazonaws.com`. */
export const servicesOf = (values: readonly unknown[] = []): string[] =>
  values.map((value) => /([a-z]+)\.\$\{AWS::Region\}/.exec(JSON.stringify(value))?.[1] ?? 'unknown').sort();
