import type { SecretValue } from '../../shared/credential/secret-value.ts';
import { LONGEST_TIMER_MS } from '../clock.ts';
import { SecretDeniedError, SecretNotFoundError, SourceUnreachableError } from '../errors.ts';

export interface VaultApiOptions {
  /** Such as `https://vault.example:8200`. TLS is verified; an authority of your own goes into NODE_EXTRA_CA_CERTS. */
  readonly address: string;
  /** HashiCorp Vault Enterprise and OpenBao: sent as X-Vault-Namespace. */
  readonly namespace?: string;
  /** Milliseconds for a request. Default: 5,000. */
  readonly timeoutMs?: number;
}

/**
 * One request; `path` without `/v1/`. Gives the answer's JSON, undefined where there is none.
 *
 * @throws SecretNotFoundError (404), SecretDeniedError (400, 403: no retry helps), SourceUnreachableError (no answer, sealed,
 * standby, a fault of Vault's). None holds the request, the token or the answer.
 */
export type VaultApi = (
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  more?: { readonly token?: SecretValue; readonly body?: object },
) => Promise<unknown>;

export function vaultApi({ address, namespace, timeoutMs = 5_000 }: VaultApiOptions): VaultApi {
  return async (method, path, { token, body } = {}) => {
    const answer = await answered(new URL(`/v1/${path}`, address), {
      method,
      signal: AbortSignal.timeout(Math.min(timeoutMs, LONGEST_TIMER_MS)),
      headers: {
        'X-Vault-Request': 'true',
        ...(namespace !== undefined && { 'X-Vault-Namespace': namespace }),
        ...(token && { 'X-Vault-Token': token.reveal() }),
      },
      redirect: 'error',
      ...(body && { body: JSON.stringify(body) }),
    });
    const { status, text } = answer;
    if (status === 404) throw new SecretNotFoundError(`Vault has nothing at ${path}`);
    if (status === 400 || status === 403) throw new SecretDeniedError(`Vault refuses ${path} (${status})`);
    if (status < 200 || status > 299) throw new SourceUnreachableError(`Vault answered ${status}`);
    return text === '' ? undefined : jsonOf(text);
  };
}

async function answered(url: URL, request: RequestInit): Promise<{ status: number; text: string }> {
  const outcome = await fetch(url, request)
    .then(async (response) => ({ status: response.status, text: await response.text() }))
    .catch(() => undefined);
  if (!outcome) throw new SourceUnreachableError('Vault did not answer');
  return outcome;
}

/** JSON.parse quotes its input, which may be a secret. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SourceUnreachableError('Vault answered something that is not JSON');
  }
}
