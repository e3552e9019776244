import type { SecretValue } from '../shared/credential/secret-value.ts';
import { type SecretVersion, withValues } from './secret-version.ts';

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
  const own = withValues(fields, (value) => {
    const copy = value.copy();
    values.push(copy);
    return copy;
  });
  const dispose = () => {
    for (const value of values) value[Symbol.dispose]();
  };
  return Object.freeze({
    versionId,
    createdAt,
    fields: own,
    [Symbol.dispose]: dispose,
    [Symbol.asyncDispose]: async () => dispose(),
  });
}
