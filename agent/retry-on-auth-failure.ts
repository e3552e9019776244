import type { SecretVersion } from './secret-version.ts';

/** What a retry needs of an agent: `AgentSecrets` has it. */
export interface RefreshableSecrets {
  get(secretId: string): Promise<SecretVersion>;
  refreshNow(secretId: string): Promise<SecretVersion>;
}

/** Where HTTP clients put the status: on what they resolve with, or on what they throw. */
const STATUS_FIELDS = ['status', 'statusCode'] as const;

/** Whether an outcome, a result or an error, says 401. A 403 is about rights, which a newer key has no more of. */
export function isUnauthorized(outcome: unknown): boolean {
  if (typeof outcome !== 'object' || outcome === null) return false;
  return STATUS_FIELDS.some((field) => Reflect.get(outcome, field) === 401);
}

/**
 * Does a request with a secret; if it is refused, reads the secret again and does it once more with the version that is in
 * force now. Where that is the same version, the refusal stands: a repeat would only count as one more bad login.
 *
 * @param isAuthFailure whether an outcome is a refusal of the credential: what `request` resolved with, or threw.
 * @example
 * const answer = await retryOnAuthFailure(agent, 'agents/billing-7/llm', ({ fields }) =>
 *   fetch(url, { headers: { authorization: `Bearer ${reveal(fields.apiKey)}` } }));
 */
export async function retryOnAuthFailure<Result>(
  agent: RefreshableSecrets,
  secretId: string,
  request: (version: SecretVersion) => Promise<Result>,
  {
    isAuthFailure = isUnauthorized,
  }: { readonly isAuthFailure?: ((outcome: unknown) => boolean) | undefined } = {},
): Promise<Result> {
  const version = await agent.get(secretId);
  const outcome = await request(version).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  const refused = isAuthFailure('result' in outcome ? outcome.result : outcome.error);
  if (refused) {
    const newer = await agent.refreshNow(secretId);
    if (newer.versionId !== version.versionId) return request(newer);
  }
  if ('error' in outcome) throw outcome.error;
  return outcome.result;
}
