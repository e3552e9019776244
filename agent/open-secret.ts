import { SecretValue } from '../shared/credential/secret-value.ts';
import type { SecretVersion } from './secret-version.ts';

/** One version's fields, for as long as they are needed: disposing it clears every value that was had from it. */
export interface OpenSecret extends AsyncDisposable, Disposable {
  readonly versionId: string;
  /** When the version was made: milliseconds since the epoch, by the source's clock. */
  readonly createdAt: number;
  /** As a `SecretVersion`'s, but the values are this holder's own. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Copies a version for one holder. Its values can't be revealed after it was disposed of, and their bytes are overwritten
 * then; the cache and other holders keep theirs. What `reveal()` gave is a JavaScript string, which nothing can clear.
 */
export function openSecret({ versionId, createdAt, fields }: SecretVersion): OpenSecret {
  const values: SecretValue[] = [];
  const own = (value: unknown): unknown => {
    if (value instanceof SecretValue) {
      const copy = value.copy();
      values.push(copy);
      return copy;
    }
    if (Array.isArray(value)) return Object.freeze(value.map(own));
    if (typeof value === 'object' && value !== null) return ownFields(value);
    return value;
  };
  const ownFields = (object: object): Readonly<Record<string, unknown>> =>
    Object.freeze(Object.fromEntries(Object.entries(object).map(([name, value]) => [name, own(value)])));
  const dispose = () => {
    for (const value of values) value[Symbol.dispose]();
  };
  return Object.freeze({
    versionId,
    createdAt,
    fields: ownFields(fields),
    [Symbol.dispose]: dispose,
    [Symbol.asyncDispose]: async () => dispose(),
  });
}
