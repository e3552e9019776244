import { createHash, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

const REDACTED = '[secret]';

/** The value was cleared before it was asked for. */
export class SecretDisposedError extends Error {
  override readonly name = 'SecretDisposedError';
}

/**
 * A secret that travels wrapped: logging, joining, serialising or inspecting it gives `[secret]`. `reveal()` is the one
 * way out, so that `grep 'reveal()'` lists every place where a value leaves. Disposing it overwrites the bytes that it holds;
 * a JavaScript string that `reveal()` gave cannot be cleared from memory, and this class does not claim to.
 *
 * @example
 * const password = SecretValue.of(text);
 * console.log(`${password}`); // [secret]
 * new Client({ password: password.reveal() });
 */
export class SecretValue {
  #bytes: Buffer | undefined;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  static of(text: string): SecretValue {
    // Not UTF-8, which has no room for half of a surrogate pair.
    return new SecretValue(Buffer.from(text, 'utf16le'));
  }

  /** The secret itself. Pass it straight to what needs it; keep the wrapper, not the text. @throws SecretDisposedError */
  reveal(): string {
    return this.#held().toString('utf16le');
  }

  /** The same secret in bytes of its own: disposing one leaves the other. @throws SecretDisposedError */
  copy(): SecretValue {
    return new SecretValue(Buffer.from(this.#held()));
  }

  /** Whether both hold the same text. The time taken tells neither where they differ nor whether their lengths do. */
  equals(other: SecretValue): boolean {
    return timingSafeEqual(digest(this.#held()), digest(other.#held()));
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

  /** Overwrites the bytes. From here on they can't be had: `SecretDisposedError`. */
  [Symbol.dispose](): void {
    this.#bytes?.fill(0);
    this.#bytes = undefined;
  }

  #held(): Buffer {
    if (!this.#bytes) throw new SecretDisposedError('The secret was disposed of');
    return this.#bytes;
  }
}

/** Equal lengths for `timingSafeEqual`, which throws on lengths that differ. */
function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
