import { setTimeout as delay } from 'node:timers/promises';
import type { SecretValue } from '../../shared/credential/secret-value.ts';
import { askVault, isBehind, redirectOf, urlOf, type VaultAnswer } from '../../shared/vault/ask-vault.ts';
import { LONGEST_TIMER_MS } from '../clock.ts';
import { SecretDeniedError, SecretNotFoundError, SourceUnreachableError } from '../errors.ts';
import type { Timing } from './keep-alive.ts';

export interface VaultApiOptions {
  /** Such as `https://vault.example:8200`, or `https://proxy.example/vault`. TLS is verified; an authority of your own goes into NODE_EXTRA_CA_CERTS. */
  readonly address: string;
  /** HashiCorp Vault Enterprise and OpenBao: sent as X-Vault-Namespace. */
  readonly namespace?: string | undefined;
  /** Milliseconds for a request, its repetitions included. Default: 5,000. */
  readonly timeoutMs?: number | undefined;
}

/**
 * A request; `path` without `/v1/`. Gives the answer's JSON, undefined where there is none. One that is `repeatable` is sent up
 * to three times, where Vault doesn't answer or has a fault: not what makes something, as a login of a database. Each is, where a
 * standby has not caught up yet (412), which has done nothing.
 *
 * @throws SecretNotFoundError (404, or a path with a part that is empty, `.` or `..`), SecretDeniedError (400, 403: no retry
 * helps), SourceUnreachableError (no answer, sealed, standby, a redirect, a fault of Vault's). None holds the request, the token
 * or the answer.
 */
export type VaultApi = (
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  more?: { readonly token?: SecretValue; readonly body?: object; readonly repeatable?: boolean },
) => Promise<unknown>;

/** Milliseconds, before the second attempt and the third; each takes up to a half off. */
const PAUSES_MS = [200, 400];

export function vaultApi({
  address,
  namespace,
  timeoutMs = 5_000,
  // Somebody waits for the answer, so it keeps the process alive.
  wait = (ms, signal) => delay(ms, undefined, { signal }),
  random = Math.random,
}: VaultApiOptions & { readonly [Part in 'wait' | 'random']?: Timing[Part] | undefined }): VaultApi {
  return async (method, path, { token, body, repeatable = false } = {}) => {
    if (!isPlain(path)) throw new SecretNotFoundError(`${path}: no part of a path may be empty, . or ..`);
    const url = new URL(urlOf(address, path)).href;
    const signal = AbortSignal.timeout(Math.min(timeoutMs, LONGEST_TIMER_MS));
    const send = () => askVault(url, { method, signal, token, namespace, body });
    let answer = await send();
    for (const most of PAUSES_MS) {
      const mayAskAgain = isBehind(answer) || (repeatable && (!answer || answer.status >= 500));
      if (!mayAskAgain || signal.aborted) break;
      await wait(most * (0.5 + random() / 2), signal).catch(() => undefined);
      answer = await send();
    }
    return readOf(answer, url, path);
  };
}

/** A URL's dots, also encoded, leave what they stand in: a mount, and what a policy was meant to allow. */
function isPlain(path: string): boolean {
  const [places = ''] = path.split('?');
  return places.split('/').every((part) => part !== '' && !/^(\.|%2e){1,2}$/i.test(part));
}

function readOf(answer: VaultAnswer | undefined, url: string, path: string): unknown {
  if (!answer) throw new SourceUnreachableError(`Vault did not answer at ${new URL(url).origin}`);
  const { status, text } = answer;
  if (status === 404) throw new SecretNotFoundError(`Vault has nothing at ${path}`);
  if (status === 400 || status === 403) throw new SecretDeniedError(`Vault refuses ${path} (${status})`);
  const redirect = redirectOf(url, answer);
  if (redirect !== undefined) throw new SourceUnreachableError(redirect);
  if (status < 200 || status > 299) throw new SourceUnreachableError(`Vault answered ${status}`);
  return text === '' ? undefined : jsonOf(text);
}

/** JSON.parse quotes its input, which may be a secret. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SourceUnreachableError('Vault answered something that is not JSON');
  }
}
