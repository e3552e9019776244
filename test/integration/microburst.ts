import { join } from 'node:path';
import { type Part, startPart } from '../../local/child.ts';
import { root } from '../../local/root.ts';
import { until } from '../../local/until.ts';

/** A rule as microburst's README has it: whom it meets, and what becomes of them. */
export type Fault = Readonly<Record<string, unknown>>;

export type Microburst = Part & {
  readonly url: string;
  /** From here on these faults, and no others. */
  inject(faults: readonly Fault[]): Promise<void>;
  /** How many requests a fault has met since the faults were last set. */
  fired(): Promise<number>;
};

/** Starts microburst in front of an AWS endpoint: it fails requests in AWS's own wire format, or on the wire. */
export async function startMicroburst({
  port,
  upstream,
  logFile,
}: {
  port: number;
  upstream: string;
  logFile: string;
}): Promise<Microburst> {
  const url = `http://127.0.0.1:${port}`;
  const part = startPart(
    join(root, '.keyturn/venv/test/bin/microburst'),
    ['--port', String(port), '--upstream', upstream],
    { logFile },
  );
  const control = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}/_microburst/${path}`, {
      method,
      signal: AbortSignal.timeout(5_000),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`microburst: ${method} ${path} answered ${response.status}`);
    return response.json();
  };
  try {
    await until('microburst answers', () => control('GET', 'health'));
    // It reads AWS's service models at the first request, which takes longer than a test's client waits.
    await fetch(url, { method: 'POST', headers: { 'x-amz-target': 'secretsmanager.ListSecrets' } });
  } catch (error) {
    await part[Symbol.asyncDispose]();
    throw error;
  }
  return {
    ...part,
    url,
    async inject(faults) {
      await control('DELETE', 'fired');
      await control('POST', 'rules', faults);
    },
    async fired() {
      const events = await control('GET', 'fired?limit=1000');
      if (!Array.isArray(events)) throw new Error('microburst gave no list of what fired');
      return events.length;
    },
  };
}
