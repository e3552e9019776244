import * as z from 'zod';

/** An input is not what its contract says. Names the fields and what was expected of them, never what they held. */
export class UnexpectedShapeError extends Error {
  override readonly name = 'UnexpectedShapeError';
  constructor(what: string, issues: readonly z.core.$ZodIssue[]) {
    super(`${what} is not what its contract says: ${issues.map(described).join('; ')}`);
  }
}

/**
 * Reads an input by its contract.
 *
 * @example
 * const event = parsed('Secret Label Updated', secretLabelUpdated, input);
 */
export function parsed<Schema extends z.ZodType>(
  what: string,
  schema: Schema,
  input: unknown,
): z.output<Schema> {
  const result = schema.safeParse(input);
  if (!result.success) throw new UnexpectedShapeError(what, result.error.issues);
  return result.data;
}

/** What PutEvents needs of an event of ours. */
export interface BusEvent {
  readonly source: string;
  readonly detailType: string;
  readonly detail: object;
}

/**
 * An event of ours on the Keyturn bus. The detail is strict: an event carries identifiers and times, and nothing else can
 * be published by mistake. The envelope is EventBridge's own (a replay adds a field to it), so it is not strict.
 *
 * @example
 * await bus.publish([secretChanged.of({ schemaVersion: 1, ... })]);
 */
export function busContract<const DetailType extends string, Detail extends z.ZodObject>(
  detailType: DetailType,
  detail: Detail,
) {
  return {
    detailType,
    detail,
    schema: envelope.extend({ source: z.literal('keyturn'), 'detail-type': z.literal(detailType), detail }),
    of: (fields: z.input<Detail>): BusEvent => ({
      source: 'keyturn',
      detailType,
      detail: parsed(detailType, detail, fields),
    }),
  };
}

export const envelope = z.object({
  version: z.string(),
  id: z.string().min(1),
  account: z.string(),
  time: z.iso.datetime({ offset: true }),
  region: z.string(),
  resources: z.array(z.string()),
});

export const secretArn = z
  .string()
  .regex(
    /^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+$/,
    'expected the ARN of a secret',
  );
/** Secrets Manager's own rule. Names are shown in logs, in alerts and on terminals: none may hold a line end or an escape. */
export const secretName = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[\w/+=.@-]+$/, 'expected the name of a secret');
export const versionId = z
  .string()
  .min(32)
  .max(64)
  .regex(/^[\x21-\x7e]+$/, 'expected printable characters');
export const agentId = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, 'expected printable characters');
export const instant = z.iso.datetime();

/** What each event of ours says about the secret. */
export const ofSecret = {
  schemaVersion: z.literal(1),
  secret: secretName,
  secretArn,
  agentId,
};

function described(issue: z.core.$ZodIssue): string {
  const field = issue.path.length === 0 ? 'the whole' : issue.path.map(String).join('.');
  switch (issue.code) {
    case 'invalid_type':
      return `${field}: expected ${issue.expected}`;
    case 'invalid_value':
      return `${field}: expected ${issue.values.map(String).join(' or ')}`;
    case 'unrecognized_keys':
      return `${field}: ${issue.keys.length} unknown field(s)`;
    case 'too_small':
      return `${field}: expected at least ${issue.minimum}`;
    case 'too_big':
      return `${field}: expected at most ${issue.maximum}`;
    case 'invalid_format':
      // Of a pattern of ours the words are ours too.
      return `${field}: ${issue.format === 'regex' ? issue.message : `wrong format (${issue.format})`}`;
    // As are those of a refinement.
    case 'custom':
      return `${field}: ${issue.message}`;
    default:
      return `${field}: ${issue.code}`;
  }
}
