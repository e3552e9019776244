import { LRUCache } from 'lru-cache';
import { SecretDisposedError, SecretValue } from '../shared/credential/secret-value.ts';
import { Needles } from './needles.ts';
import type { SecretVersion } from './secret-version.ts';

const REDACTED = '[secret]';
/** What is shorter stands in every second line by chance, and is no secret to speak of. */
const SHORTEST = 6;
/** Versions of a secret that are known: the one in force, the superseded one in its grace, and one more. */
const VERSIONS = 3;

/** A version of a secret, or a login that was made for this agent. */
type Known = Pick<SecretVersion, 'versionId' | 'fields'>;

/**
 * Takes secrets out of text before it is logged. It knows the values that this agent holds or held lately, as they are and as
 * they look in JSON, in a URL, in a form and in base64, there also as a part of something longer such as an Authorization header.
 * A net under the wrappers, not a licence to log: what was cut or encoded in another way passes.
 *
 * @example
 * const redact = agent.redactor();
 * console.log(redact(`could not connect to ${url}`));
 */
export class Redactor {
  /** Of each secret that is held: its last versions. */
  readonly #held = new Map<string, readonly Known[]>();
  /** Of those that were held or read, and may stand in what is yet to be logged. */
  readonly #released: LRUCache<string, readonly Known[]>;
  #needles: Needles | undefined;

  /** `maxEntries`: of the secrets that are held no more, so many are known on. Default: 100. */
  constructor({ maxEntries = 100 }: { readonly maxEntries?: number | undefined } = {}) {
    this.#released = new LRUCache({ max: maxEntries });
  }

  /** Knows this version and those that it superseded, for as long as the secret is held. */
  learn(secretId: string, version: Known): void {
    const known = this.#held.get(secretId) ?? this.#released.get(secretId) ?? [];
    const others = known.filter(({ versionId }) => versionId !== version.versionId);
    this.#released.delete(secretId);
    this.#held.set(secretId, [version, ...others].slice(0, VERSIONS));
    this.#needles = undefined;
  }

  /** Knows a version that was read and is not held, until it is one of too many. */
  glimpse(secretId: string, version: Known): void {
    this.#released.set(`${secretId} ${version.versionId}`, [version]);
    this.#needles = undefined;
  }

  /** The secret is held no more. */
  release(secretId: string): void {
    const known = this.#held.get(secretId);
    if (!known) return;
    this.#held.delete(secretId);
    this.#released.set(secretId, known);
    this.#needles = undefined;
  }

  forget(): void {
    this.#held.clear();
    this.#released.clear();
    this.#needles = undefined;
  }

  redact(text: string): string {
    this.#needles ??= needlesOf([...this.#held.values(), ...this.#released.values()].flat());
    return this.#needles.replaced(text, REDACTED);
  }
}

function needlesOf(versions: readonly Known[]): Needles {
  const values = versions.flatMap(({ fields }) => secretsIn(fields)).flatMap(textOf);
  const secret = values.filter((value) => value.length >= SHORTEST);
  return new Needles(secret.flatMap((value) => [value, ...base64Of(Buffer.from(value))]));
}

/** What its holder has cleared is nowhere to be had from, and no reason to fail whoever logs. */
function textOf(value: SecretValue): readonly string[] {
  try {
    return [value.reveal()];
  } catch (error) {
    if (error instanceof SecretDisposedError) return [];
    throw error;
  }
}

function secretsIn(value: unknown): readonly SecretValue[] {
  if (value instanceof SecretValue) return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(secretsIn) : [];
}

/** Base64 groups three bytes, so the value reads in three ways, by where it begins; the edges mix with what is around it. */
function base64Of(bytes: Buffer): readonly string[] {
  return [0, 1, 2].flatMap((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const text = whole.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
    return [text, text.replaceAll('+', '-').replaceAll('/', '_')];
  });
}
