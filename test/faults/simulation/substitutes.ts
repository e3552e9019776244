import { AsyncLocalStorage } from 'node:async_hooks';
import crypto, { createHash } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { currentInvocation } from './invocation.ts';
import type { Random } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

/**
 * Puts what a process has from its machine under the simulation's control: randomness, deadlines, and the cost of hashing a
 * password. The code under test is the deployed code, unchanged. For a worker thread of its own only: nothing is put back.
 */
export function substituteMachine({ time, random }: { time: VirtualTime; random: Random }): void {
  const source = () => currentInvocation()?.random ?? random;
  Object.assign(crypto, {
    randomInt: (below: number) => source().below(below),
    randomBytes: (size: number) => Buffer.from(Array.from({ length: size }, () => source().below(256))),
    randomUUID: () => uuidOf(source()),
    // 4,096 rounds of it for each login would be most of the run, and a key made for each HMAC a tenth of the rest.
    pbkdf2Sync: (password: string, salt: Buffer) =>
      createHash('sha256').update(salt).update(password).digest(),
    createHmac: (algorithm: string, key: Buffer) => createHash(algorithm).update(key),
  });
  syncBuiltinESMExports();
  // One for all: each would have a stack of its own.
  const reason = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController();
    // What the signal sets off is done by the run that asked for it.
    const asCaller = AsyncLocalStorage.snapshot();
    time.after(ms, () => asCaller(() => controller.abort(reason)));
    return controller.signal;
  };
}

export function uuidOf(random: Random): string {
  const hex = Array.from({ length: 32 }, () => random.below(16).toString(16)).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}
