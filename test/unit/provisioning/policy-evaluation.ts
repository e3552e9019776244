import * as z from 'zod';

const oneOrMore = z.union([z.string().transform((each) => [each]), z.array(z.string())]);
const document = z.strictObject({
  Version: z.literal('2012-10-17'),
  Statement: z.array(
    z.strictObject({
      Sid: z.string().optional(),
      Effect: z.literal('Allow'),
      Action: oneOrMore,
      Resource: oneOrMore,
      // Another operator is a failure here, not a condition that is overlooked.
      Condition: z
        .strictObject({
          StringEquals: z.record(z.string(), oneOrMore).optional(),
          StringLike: z.record(z.string(), oneOrMore).optional(),
          ArnEquals: z.record(z.string(), oneOrMore).optional(),
          Bool: z.record(z.string(), oneOrMore).optional(),
          BoolIfExists: z.record(z.string(), oneOrMore).optional(),
          'ForAllValues:StringLike': z.record(z.string(), oneOrMore).optional(),
        })
        .default({}),
    }),
  ),
});

export interface Asked {
  readonly action: string;
  readonly resource: string;
  /** The context of the request; a key that isn't there fails a condition on it. */
  readonly context?: Readonly<Record<string, string>>;
}

/**
 * Whether a policy of Allow statements lets a request through, as IAM's guide says it is judged: a statement counts where action,
 * resource and each condition match, a value of several is enough, `*` and `?` are wildcards of a resource and of StringLike, and
 * a variable that the request doesn't have matches nothing. A key of several values has one here.
 */
export function allows(policy: object, { action, resource, context = {} }: Asked): boolean {
  return document.parse(policy).Statement.some(({ Action, Resource, Condition }) => {
    const { StringEquals = {}, StringLike = {}, ArnEquals = {}, Bool = {}, BoolIfExists = {} } = Condition;
    const OfAll = Condition['ForAllValues:StringLike'] ?? {};
    const given = Object.entries(BoolIfExists).filter(([key]) => context[key] !== undefined);
    const equal = (value: string, wanted: string) => resolved(wanted, context) === value;
    return (
      Action.some((each) => like(action.toLowerCase(), each.toLowerCase())) &&
      Resource.some((each) => like(resource, each)) &&
      all({ ...StringEquals, ...Bool, ...Object.fromEntries(given) }, context, equal) &&
      all({ ...StringLike, ...ArnEquals, ...OfAll }, context, like)
    );
  });
}

function all(
  conditions: Readonly<Record<string, readonly string[]>>,
  context: Readonly<Record<string, string>>,
  matches: (value: string, wanted: string) => boolean,
): boolean {
  return Object.entries(conditions).every(([key, wanted]) => {
    const value = context[key];
    return value !== undefined && wanted.some((each) => matches(value, each));
  });
}

function resolved(text: string, context: Readonly<Record<string, string>>): string | undefined {
  const variable = /^\$\{(.+)\}$/.exec(text)?.[1];
  return variable === undefined ? text : context[variable];
}

function like(value: string, pattern: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(value);
}
