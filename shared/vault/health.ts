const states = {
  200: 'active',
  429: 'standby',
  472: 'disaster-recovery-secondary',
  473: 'performance-standby',
  474: 'standby-without-active',
  501: 'uninitialised',
  503: 'sealed',
  530: 'removed',
} as const;

export type VaultHealth = (typeof states)[keyof typeof states] | 'unreachable' | 'unknown';

const isKnown = (status: number): status is keyof typeof states => Object.hasOwn(states, status);

/** What sys/health says. Its status code is the answer: 429 is no throttling. */
export async function vaultHealth(address: string, timeoutMs: number): Promise<VaultHealth> {
  try {
    const { status } = await fetch(`${address.replace(/\/+$/, '')}/v1/sys/health`, {
      signal: AbortSignal.timeout(timeoutMs),
    });
    return isKnown(status) ? states[status] : 'unknown';
  } catch {
    return 'unreachable';
  }
}
