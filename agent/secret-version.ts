import { SecretValue } from '../shared/credential/secret-value.ts';
import { SecretMalformedError } from './errors.ts';

/**
 * One version of a secret as an agent holds it: frozen, and redacted wherever it is shown. What a cache gives is for all who ask:
 * disposing of a value clears nothing. `agent.open` and `withSecret` give values of one's own.
 */
export interface SecretVersion {
  readonly versionId: string;
  /** Of the secret in Secrets Manager, if it comes from there. */
  readonly arn?: string;
  readonly name?: string;
  /** When the version was made: milliseconds since the epoch, by the source's clock. */
  readonly createdAt: number;
  /** Staging labels at the time of the read; `AWSCURRENT` says that the version is the one in force. */
  readonly stages: readonly string[];
  /** The JSON object's fields. Every string is a `SecretValue`, but for those known to be no secret (host, username, ...). */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The JSON text as it was stored. */
  readonly value: SecretValue;
}

/** One version of a secret: by its id, by a staging label, or, without either, the one in force. */
export interface WhichVersion {
  readonly versionId?: string | undefined;
  readonly versionStage?: string | undefined;
}

/**
 * What an agent reads secrets from. Its reads reject with a SourceUnreachableError, SecretNotFoundError, SecretDeniedError or
 * SecretMalformedError.
 */
export interface SecretSource {
  /** The version that is in force, or the one of that id whatever its labels, or the one of that label. */
  fetch(secretId: string, which?: WhichVersion): Promise<SecretVersion>;
}

/** Fields that a connection string would show anyway. What is not listed is taken for a secret. */
const PLAIN_FIELDS: ReadonlySet<string> = new Set([
  'engine',
  'provider',
  'host',
  'dbname',
  'username',
  'masterarn',
  'region',
  'ssl',
]);

/**
 * Reads a secret's JSON text into fields, strings wrapped.
 *
 * @example
 * fieldsOf('{"engine":"postgres","password":"..."}').password; // [secret]
 */
export function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  const parsed = jsonOf(text);
  if (!isObject(parsed)) throw new SecretMalformedError('The value of the secret is not a JSON object');
  return wrappedFields(parsed);
}

/** A version for many holders, none of whom can clear it for the others. */
export function lentVersion(version: SecretVersion): SecretVersion {
  const fields = withValues(version.fields, (value) => value.lent());
  return Object.freeze({ ...version, fields, value: version.value.lent() });
}

/** Fields with others in place of their secret values. */
export function withValues(
  fields: Readonly<Record<string, unknown>>,
  otherFor: (value: SecretValue) => SecretValue,
): Readonly<Record<string, unknown>> {
  const other = (value: unknown): unknown => {
    if (value instanceof SecretValue) return otherFor(value);
    if (Array.isArray(value)) return Object.freeze(value.map(other));
    return isPlain(value) ? othersOf(value) : value;
  };
  const othersOf = (object: object) =>
    Object.freeze(Object.fromEntries(Object.entries(object).map(([name, value]) => [name, other(value)])));
  return othersOf(fields);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // V8 quotes the text in its message, so that error must not become a cause.
    throw new SecretMalformedError('The value of the secret is not JSON');
  }
}

function wrappedFields(object: object): Readonly<Record<string, unknown>> {
  const entries = Object.entries(object).map(([name, value]): [string, unknown] => [
    name,
    typeof value === 'string' && PLAIN_FIELDS.has(name) ? value : wrapped(value),
  ]);
  return Object.freeze(Object.fromEntries(entries));
}

function wrapped(value: unknown): unknown {
  if (typeof value === 'string') return SecretValue.of(value);
  if (Array.isArray(value)) return Object.freeze(value.map(wrapped));
  if (isObject(value)) return wrappedFields(value);
  return value;
}

/** As JSON has objects: what else a source gives, such as a date, is not looked into. */
function isPlain(value: unknown): value is object {
  return isObject(value) && Object.getPrototypeOf(value) === Object.prototype;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
