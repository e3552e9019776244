import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import type { StackResource } from '../../../cli/stack-resources.ts';
import { root } from '../../../local/root.ts';
import { allResources } from '../deployment/template.ts';

const { params } = z
  .object({ params: z.object({ default: z.record(z.string(), z.unknown()) }) })
  .parse(parse(readFileSync(join(root, 'serverless.yml'), 'utf8')));
const variables: Readonly<Record<string, unknown>> = {
  '${self:service}': 'keyturn',
  '${sls:stage}': 'dev',
  ...Object.fromEntries(Object.entries(params.default).map(([name, value]) => [`\${param:${name}}`, value])),
};

/** The template that `serverless deploy` would send, of the sources as they are. */
export const template = {
  Resources: z.record(z.string(), z.unknown()).parse(
    parsedJson(
      Object.entries(variables)
        .reduce(
          (text, [variable, value]) => text.replaceAll(variable, () => String(value)),
          JSON.stringify(allResources),
        )
        // Outside a VPC, as is the default.
        .replaceAll(/"\$\{file\([^"]*network\/public\.yml\):policies\}"/g, '[]'),
    ),
  ),
};

const oneOrMore = z.union([z.string(), z.array(z.string())]);
const held = z.object({
  Effect: z.string(),
  Action: oneOrMore,
  Resource: oneOrMore,
  Condition: z.record(z.string(), z.record(z.string(), oneOrMore)).optional(),
});
export type HeldStatement = z.output<typeof held>;
const role = z.object({
  Policies: z.array(z.object({ PolicyDocument: z.object({ Statement: z.array(held) }) })),
});

/** What CloudFormation would make of it: its resources, and the statements of each role as IAM has them. */
export function filledIn(): {
  readonly resources: readonly StackResource[];
  readonly roles: Readonly<Record<string, HeldStatement[]>>;
} {
  const all = Object.entries(allResources);
  return {
    resources: all.map(([logicalId, { Type }]) => ({
      logicalId,
      physicalId: `keyturn-dev-${logicalId}`,
      type: Type,
    })),
    roles: Object.fromEntries(
      Object.entries(resourcesIn(withValues(template)))
        .filter(([, { Type }]) => Type === 'AWS::IAM::Role')
        .map(([logicalId, { Properties }]) => [
          logicalId,
          role.parse(Properties).Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement),
        ]),
    ),
  };
}

const resourcesIn = (of: unknown) =>
  z
    .object({ Resources: z.record(z.string(), z.object({ Type: z.string(), Properties: z.unknown() })) })
    .parse(of).Resources;

/** Expressions evaluated, as CloudFormation does. */
function withValues(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withValues);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value);
  const [[expression, of] = []] = entries;
  if (expression === 'Ref') return referredTo(String(of));
  if (expression === 'Fn::GetAtt') return referredTo(String(of));
  if (expression === 'Fn::Sub') {
    return String(of).replaceAll(/\$\{([^}]+)\}/g, (_, name: string) =>
      name.startsWith('AWS::') ? referredTo(name) : `keyturn-dev-${name}`,
    );
  }
  return Object.fromEntries(entries.map(([key, each]) => [key, withValues(each)]));
}

function referredTo(name: string): string {
  const known: Readonly<Record<string, string>> = {
    'AWS::Partition': 'aws',
    'AWS::Region': 'eu-central-1',
    'AWS::AccountId': '123456789012',
  };
  return known[name] ?? `arn:aws:any:eu-central-1:123456789012:keyturn-dev-${name.split('.')[0]}`;
}

function parsedJson(text: string): unknown {
  return JSON.parse(text);
}
