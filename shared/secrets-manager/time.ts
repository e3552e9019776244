import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod';

const answered = z.object({ headers: z.object({ date: z.string() }) });

/**
 * Secrets Manager's own time, by the Date of its latest answer to this client; this machine's before the first. Versions are
 * dated by it, so whoever compares with their dates asks it. (The SDK's own `systemClockOffset` follows a clock that is five
 * minutes off or more, and no other.)
 *
 * @example
 * const now = secretsManagerTime(client);
 */
export function secretsManagerTime(
  client: SecretsManagerClient,
  machine: () => number = Date.now,
): () => Date {
  let offsetMs = 0;
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const date = answered.safeParse(result.response);
      const theirs = date.success ? Date.parse(date.data.headers.date) : Number.NaN;
      if (!Number.isNaN(theirs)) offsetMs = theirs - machine();
      return result;
    },
    { step: 'deserialize', name: 'keyturnSecretsManagerTime', priority: 'low' },
  );
  return () => new Date(machine() + offsetMs);
}
