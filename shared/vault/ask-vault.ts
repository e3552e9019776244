import type { SecretValue } from '../credential/secret-value.ts';

export interface VaultQuestion {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly token?: SecretValue | undefined;
  /** Empty: the root namespace. */
  readonly namespace?: string | undefined;
  readonly body?: object | undefined;
  /** Ends the wait for the answer. */
  readonly signal: AbortSignal;
}

export interface VaultAnswer {
  readonly status: number;
  readonly text: string;
  readonly location: string | null;
}

/** The URL of a path of Vault's API, below the path that a proxy has it at. */
export const urlOf = (address: string, path: string): string => `${address.replace(/\/+$/, '')}/v1/${path}`;

/**
 * One request, and Vault's answer whatever its status; undefined where there is none. Nothing of it is thrown, or read from the
 * environment: TLS is verified, and an authority of your own goes into NODE_EXTRA_CA_CERTS.
 */
export async function askVault(
  url: string,
  { method, token, namespace = '', body, signal }: VaultQuestion,
): Promise<VaultAnswer | undefined> {
  try {
    const response = await fetch(url, {
      method,
      signal,
      headers: {
        'X-Vault-Request': 'true',
        ...(namespace !== '' && { 'X-Vault-Namespace': namespace }),
        ...(token && { 'X-Vault-Token': token.reveal() }),
        ...(body && { 'Content-Type': 'application/json' }),
      },
      // Whoever is named there would be sent the token and the body.
      redirect: 'manual',
      ...(body && { body: JSON.stringify(body) }),
    });
    const { status, headers } = response;
    return { status, text: await response.text(), location: headers.get('location') };
  } catch {
    // fetch's errors may quote a header.
    return undefined;
  }
}

/**
 * Whether a performance standby of Vault Enterprise or HCP answered that has not heard of the token, or of a write, yet. It has
 * done nothing, and soon has caught up.
 */
export const isBehind = (answer: VaultAnswer | undefined): boolean => answer?.status === 412;

/** What to say of a redirect; undefined of any other answer. Names origins only: the rest may hold what was asked. */
export function redirectOf(url: string, { status, location }: VaultAnswer): string | undefined {
  if (status < 300 || status > 399) return undefined;
  const isKnown = location !== null && URL.canParse(location, url);
  const target = isKnown ? new URL(location, url).origin : 'nowhere';
  return `${new URL(url).origin} redirects to ${target} (${status}), which is not followed: give an address that answers itself`;
}
