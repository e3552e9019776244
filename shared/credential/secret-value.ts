import { createHash, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

const REDACTED = '[secret]';

/**
 * A secret that travels wrapped: logging, joining, serialising or inspecting it gives `[secret]`. `reveal()` is the one
 * way out, so that `grep 'reveal()'` lists every place where a value leaves. A JavaScript string cannot be cleared from
 * memory, and this class does not claim to.
 *
 * @example
 * const password = SecretValue.of(text);
 * console.log(`${password}`); // [secret]
 * new Client({ password: password.reveal() });
 */
export class SecretValue {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  static of(text: string): SecretValue {
    return new SecretValue(text);
  }

  /** The secret itself. Pass it straight to what needs it; keep the wrapper, not the text. */
  reveal(): string {
    return this.#text;
  }

  /** Whether both hold the same text. The time taken tells neither where they differ nor whether their lengths do. */
  equals(other: SecretValue): boolean {
    return timingSafeEqual(digest(this.#text), digest(other.#text));
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.toPrimitive](): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

/** Equal lengths for `timingSafeEqual`, which throws on lengths that differ. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
