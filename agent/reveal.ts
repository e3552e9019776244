import { SecretValue } from '../shared/credential/secret-value.ts';
import { SecretMalformedError } from './errors.ts';

/**
 * The text of a secret's field, wrapped or plain, for the call that needs it. As with `SecretValue.reveal()`: pass it on, don't
 * keep it.
 *
 * @throws SecretMalformedError if there is no such field, or it holds no text.
 * @example
 * const { fields } = await agent.get('agents/billing-7/llm');
 * const headers = { authorization: `Bearer ${reveal(fields.apiKey)}` };
 */
export function reveal(field: unknown): string {
  if (field instanceof SecretValue) return field.reveal();
  if (typeof field === 'string') return field;
  throw new SecretMalformedError(
    `A field of the secret is no text but ${field === undefined ? 'missing' : typeof field}`,
  );
}
