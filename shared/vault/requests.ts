import { setTimeout as delay } from 'node:timers/promises';
import type * as z from 'zod';
import type { SecretValue } from '../credential/secret-value.ts';
import { askVault, isBehind, redirectOf, urlOf, type VaultAnswer, type VaultQuestion } from './ask-vault.ts';
import {
  CasMismatchError,
  VaultDeniedError,
  VaultResponseError,
  VaultSealedError,
  VaultStandbyError,
  VaultUnreachableError,
} from './errors.ts';

/**
 * A request; `path` without `/v1/`. Gives the answer's JSON, '' where it has no body, undefined where Vault says 404.
 *
 * @throws VaultUnreachableError (no answer, a redirect, a fault of Vault's), VaultSealedError, VaultStandbyError,
 * VaultDeniedError, CasMismatchError, VaultResponseError. None holds the request, the token or the answer.
 */
export type VaultRequest = (
  method: VaultQuestion['method'],
  path: string,
  more?: { readonly token?: SecretValue | undefined; readonly body?: object | undefined },
) => Promise<unknown>;

/** Milliseconds, before a standby that is behind is asked the second time and the third. */
const PAUSES_MS = [200, 400];

/** Milliseconds. Rejects when the signal aborts. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>;

export function vaultRequests({
  address,
  namespace,
  timeoutMs,
  wait = (ms, signal) => delay(ms, undefined, { signal }),
}: {
  readonly address: string;
  readonly namespace?: string | undefined;
  /** Milliseconds for a request, its repetitions included. */
  readonly timeoutMs: number;
  readonly wait?: Wait | undefined;
}): VaultRequest {
  return async (method, path, more) => {
    const url = urlOf(address, path);
    const signal = AbortSignal.timeout(timeoutMs);
    const send = () => askVault(url, { ...more, method, namespace, signal });
    let answer = await send();
    for (const pause of PAUSES_MS) {
      if (!isBehind(answer)) break;
      await wait(pause, signal).catch(() => undefined);
      answer = await send();
    }
    return readOf(url, answer);
  };
}

/** Vault's LIST, which some proxies don't let through, as a GET. */
export const listOf = (path: string): string => `${path}?list=true`;

function readOf(url: string, answer: VaultAnswer | undefined): unknown {
  if (!answer) throw new VaultUnreachableError('Vault did not answer');
  if (answer.status === 404) return undefined;
  const redirect = redirectOf(url, answer);
  if (redirect !== undefined) throw new VaultUnreachableError(redirect);
  const body = jsonOf(answer.text);
  if (answer.status < 200 || answer.status > 299) throw failureOf(answer.status, body);
  if (body === undefined) throw new VaultResponseError('Vault answered something that is not JSON');
  return body;
}

/** Undefined where it isn't JSON: JSON.parse quotes its input, which may be a secret. */
function jsonOf(text: string): unknown {
  if (text === '') return text;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failureOf(status: number, body: unknown): Error {
  const says = (words: string) => errorsOf(body).some((text) => text.includes(words));
  if (status === 403) return new VaultDeniedError('Vault refused the request');
  if (status === 400 && says('check-and-set')) return new CasMismatchError('The key changed meanwhile');
  if (status === 503 && says('sealed')) return new VaultSealedError('Vault is sealed');
  if ([412, 429, 472, 473, 474].includes(status) || says('standby')) {
    return new VaultStandbyError('A standby node answered');
  }
  if (status >= 500) return new VaultUnreachableError(`Vault answered ${status}`);
  return new VaultResponseError(`Vault answered ${status}`);
}

function errorsOf(body: unknown): readonly string[] {
  if (typeof body !== 'object' || body === null || !('errors' in body)) return [];
  return Array.isArray(body.errors) ? body.errors.filter((text) => typeof text === 'string') : [];
}

/** Zod's own error may hold what it was given; ours does not. */
export function parsed<T>(schema: z.ZodType<T>, answer: unknown): T {
  const result = schema.safeParse(answer);
  if (!result.success) throw new VaultResponseError('Vault answered in an unknown shape');
  return result.data;
}
