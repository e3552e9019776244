import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parse, type Tags } from 'yaml';
import { z } from 'zod';
import { root } from '../../../local/root.ts';

/** CloudFormation's short forms (`!Ref X`) as the objects that they stand for. */
const shortForms: Tags = ['Ref', 'Sub', 'GetAtt'].map((name) => ({
  tag: `!${name}`,
  resolve: (value: string) => ({ [name === 'Ref' ? name : `Fn::${name}`]: value }),
}));

const resource = z.looseObject({ Type: z.string(), Properties: z.record(z.string(), z.unknown()) });
export type Resource = z.infer<typeof resource>;

const resources = z.record(z.string(), resource);
const functionFile = z.strictObject({
  function: z.looseObject({
    handler: z.string(),
    role: z.string(),
    timeout: z.number(),
    environment: z.record(z.string(), z.unknown()),
  }),
  resources,
});
const sharedFile = z.looseObject({ Resources: resources });

const deployment = z
  .object({
    params: z.object({ default: z.record(z.string(), z.unknown()) }),
    provider: z.looseObject({ environment: z.record(z.string(), z.unknown()) }),
  })
  .parse(parse(readFileSync(join(root, 'serverless.yml'), 'utf8')));

/** The parameters of a deployment, each with its default. */
export const parameters = deployment.params.default;
/** What every function is given, besides its own environment. */
export const sharedEnvironment = deployment.provider.environment;

/** A file of the deployment. A value that is a parameter, and nothing else, is the parameter's default. */
const read = (file: string): unknown =>
  parse(
    readFileSync(file, 'utf8'),
    (_, value: unknown) => {
      const name = typeof value === 'string' ? /^\$\{param:(\w+)\}$/.exec(value)?.[1] : undefined;
      return name === undefined ? value : parameters[name];
    },
    { customTags: shortForms },
  );

export const functions = globSync(join(root, 'functions/*/deploy.yml'))
  .sort()
  .map((file) => ({ name: basename(dirname(file)), ...functionFile.parse(read(file)) }));

/** Every resource that a deployment to AWS makes, by its logical id. */
export const allResources: Record<string, Resource> = Object.assign(
  sharedFile.parse(read(join(root, 'shared/deployment/resources.yml'))).Resources,
  sharedFile.parse(read(join(root, 'shared/deployment/stage/aws.yml'))).Resources,
  ...functions.map((one) => one.resources),
);

export const ofType = (type: string): [string, Resource][] =>
  Object.entries(allResources).filter(([, one]) => one.Type === type);

const statement = z.looseObject({
  Effect: z.enum(['Allow', 'Deny']),
  Action: z.union([z.string(), z.array(z.string())]),
  Resource: z.unknown(),
  Condition: z.record(z.string(), z.record(z.string(), z.unknown())).optional(),
});
const policies = z.array(z.object({ PolicyDocument: z.object({ Statement: z.array(statement) }) }));

/** What a role allows: each statement's actions, its resource and its conditions. */
export function allowedBy(
  role: Resource,
): { actions: string[]; resource: unknown; condition: Record<string, Record<string, unknown>> }[] {
  return policies
    .parse(role.Properties.Policies)
    .flatMap((policy) => policy.PolicyDocument.Statement)
    .map(({ Action, Resource, Condition = {} }) => ({
      actions: [Action].flat(),
      resource: Resource,
      condition: Condition,
    }));
}
