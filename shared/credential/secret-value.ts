import { createHash, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

const REDACTED = '[secret]';

/** The value was cleared before it was asked for. */
export class SecretDisposedError extends Error {
  override readonly name = 'SecretDisposedError';
}

/** What an owner and those it lent to have in common. */
interface Held {
  bytes: Buffer | undefined;
}

/**
 * A secret that travels wrapped: logging, joining, serialising or inspecting it gives `[secret]`. `reveal()` is the one
 * way out, so that `grep 'reveal()'` lists every place where a value leaves. Disposing it overwrites the bytes that it holds;
 * a JavaScript string that `reveal()` gave cannot be cleared from memory, and this class does not claim to. What was lent is
 * cleared by its owner alone.
 *
 * @example
 * const password = SecretValue.of(text);
 * console.log(`${password}`); // [secret]
 * new Client({ password: password.reveal() });
 */
export class SecretValue {
  readonly #held: Held;
  readonly #isLent: boolean;

  private constructor(held: Held, isLent = false) {
    this.#held = held;
    this.#isLent = isLent;
  }

  static of(text: string): SecretValue {
    // Not UTF-8, which has no room for half of a surrogate pair.
    return new SecretValue({ bytes: Buffer.from(text, 'utf16le') });
  }

  /** The secret itself. Pass it straight to what needs it; keep the wrapper, not the text. @throws SecretDisposedError */
  reveal(): string {
    return this.#bytes().toString('utf16le');
  }

  /** The same secret in bytes of its own: disposing one leaves the other. @throws SecretDisposedError */
  copy(): SecretValue {
    return new SecretValue({ bytes: Buffer.from(this.#bytes()) });
  }

  /** The same secret in the same bytes, for one of many holders: disposing of what this gives clears nothing. */
  lent(): SecretValue {
    return new SecretValue(this.#held, true);
  }

  /** Whether both hold the same text. The time taken tells neither where they differ nor whether their lengths do. */
  equals(other: SecretValue): boolean {
    return timingSafeEqual(digest(this.#bytes()), digest(other.#bytes()));
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

  /** Overwrites the bytes, unless they were lent. From here on they can't be had: `SecretDisposedError`. */
  [Symbol.dispose](): void {
    if (this.#isLent) return;
    this.#held.bytes?.fill(0);
    this.#held.bytes = undefined;
  }

  #bytes(): Buffer {
    if (!this.#held.bytes) throw new SecretDisposedError('The secret was disposed of');
    return this.#held.bytes;
  }
}

/** Equal lengths for `timingSafeEqual`, which throws on lengths that differ. */
function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
