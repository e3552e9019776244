/** Which secrets a list holds, in which order, and page by page. */
import { SecretsManagerError } from './errors.ts';
import type { Request } from './requests.ts';
import type { Secret } from './secrets.ts';

type Filter = NonNullable<Request<'ListSecrets'>['Filters']>[number];

/** Every filter must match, by any of its values; `!` before a value negates it. */
export function filtered(secrets: readonly Secret[], filters: readonly Filter[] = []): Secret[] {
  return secrets.filter((secret) => filters.every((filter) => matches(secret, filter)));
}

function matches(secret: Secret, { Key, Values }: Filter): boolean {
  const negated = Values.filter((value) => value.startsWith('!')).map((value) => value.slice(1));
  const plain = Values.filter((value) => !value.startsWith('!'));
  const has = (value: string) => hasAttribute(secret, Key, value);
  return !negated.some(has) && (plain.length === 0 || plain.some(has));
}

/** Prefixes: of the description and of anything without regard to case, of names and tags exactly. */
function hasAttribute(secret: Secret, key: Filter['Key'], value: string): boolean {
  const description = secret.description ?? '';
  const tags = [...secret.tags];
  switch (key) {
    case 'name':
      return secret.name.startsWith(value);
    case 'description':
      return words(description).some((word) => word.startsWith(value.toLowerCase()));
    case 'tag-key':
      return tags.some(([tag]) => tag.startsWith(value));
    case 'tag-value':
      return tags.some(([, content]) => content.startsWith(value));
    case 'all': {
      const all = [secret.name, description, ...tags.flat()].flatMap((text) => [
        text.toLowerCase(),
        ...words(text),
      ]);
      return words(value).some((word) => all.some((own) => own.startsWith(word)));
    }
    default:
      // Replicas and secrets that other services own do not exist here.
      return false;
  }
}

const words = (text: string) =>
  text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean);

type SortBy = NonNullable<Request<'ListSecrets'>['SortBy']>;

export function sorted(secrets: readonly Secret[], by: SortBy = 'created-date', order = 'asc'): Secret[] {
  const rank = (secret: Secret): number | string => {
    if (by === 'name') return secret.name;
    if (by === 'created-date') return secret.created.getTime();
    if (by === 'last-changed-date') return secret.lastChanged.getTime();
    return secret.lastAccessed?.getTime() ?? 0;
  };
  const direction = order === 'desc' ? -1 : 1;
  return [...secrets].sort((one, other) => {
    const [a, b] = [rank(one), rank(other)];
    return a === b ? 0 : a < b ? -direction : direction;
  });
}

/** One page; the token names where the next begins. */
export function pageOf<Item>(
  items: readonly Item[],
  { MaxResults = 100, NextToken }: { MaxResults?: number | undefined; NextToken?: string | undefined },
) {
  const from = NextToken === undefined ? 0 : Number(NextToken);
  if (!Number.isInteger(from) || from < 0) {
    throw new SecretsManagerError('InvalidNextTokenException', 'The NextToken value is invalid.');
  }
  const until = from + MaxResults;
  return { items: items.slice(from, until), ...(until < items.length && { NextToken: String(until) }) };
}
