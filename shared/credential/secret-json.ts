import { inspect } from 'node:util';
import { InvalidSecretError } from './errors.ts';
import { SecretValue } from './secret-value.ts';

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [field: string]: Json };
export type JsonObject = { readonly [field: string]: Json };

/** Secrets Manager's own limit, in bytes of UTF-8. */
const largestSecret = 65_536;

/**
 * A JSON object some of whose fields are secret: the value of a secret, or one credential in it. Like SecretValue it prints as
 * `[secret]`, and the one way to its fields is `reveal()`.
 *
 * @example
 * SecretJson.parse(value).with({ username: 'billing_b' }).serialize(); // a SecretValue
 */
export class SecretJson {
  readonly #fields: JsonObject;

  private constructor(fields: JsonObject) {
    this.#fields = fields;
  }

  /** @throws InvalidSecretError where the text isn't a JSON object. JSON.parse's own message quotes the text: it is left out. */
  static parse(text: SecretValue): SecretJson {
    const fields = parsedObject(text);
    if (!fields) throw new InvalidSecretError('(whole)', 'a JSON object');
    return new SecretJson(fields);
  }

  reveal(): JsonObject {
    return this.#fields;
  }

  /** The object in a field, or undefined where the field isn't an object. */
  nested(field: string): SecretJson | undefined {
    const value = Object.hasOwn(this.#fields, field) ? this.#fields[field] : undefined;
    return isObject(value) ? new SecretJson(value) : undefined;
  }

  /** A copy with some fields replaced; every other field stays as it is, and where it is. */
  with(changes: { readonly [field: string]: Json | SecretValue | SecretJson }): SecretJson {
    const revealed = Object.entries(changes).map(([field, value]) => [field, plain(value)] as const);
    return new SecretJson({ ...this.#fields, ...Object.fromEntries(revealed) });
  }

  /** @throws InvalidSecretError where it has become too large for Secrets Manager. */
  serialize(): SecretValue {
    const text = JSON.stringify(this.#fields);
    if (Buffer.byteLength(text) > largestSecret)
      throw new InvalidSecretError('(whole)', `at most ${largestSecret} bytes`);
    return SecretValue.of(text);
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

function plain(value: Json | SecretValue | SecretJson): Json {
  return value instanceof SecretValue || value instanceof SecretJson ? value.reveal() : value;
}

function parsedObject(text: SecretValue): JsonObject | undefined {
  try {
    const value: Json = JSON.parse(text.reveal());
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
