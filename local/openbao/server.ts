import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Part, startPart } from '../child.ts';
import { root } from '../root.ts';
import { until } from '../until.ts';

export type OpenBao = Part & {
  readonly url: string;
  readonly rootToken: string;
  /** Any API call as root; fails where the answer isn't a 2xx. */
  request(method: string, path: string, body?: unknown): Promise<unknown>;
  seal(): Promise<void>;
  /** A dev server starts unsealed and shows its unseal key in its log only. */
  unseal(key: string): Promise<void>;
};

/**
 * Starts OpenBao in dev mode, in memory, KV v2 at `secret/`. It takes `port` and the one after it. With `auditFile` it writes
 * each request and answer there, a line of JSON each, values as HMACs; with `rawAuditFile` as they are.
 */
export async function startOpenBao(options: {
  port: number;
  logFile: string;
  auditFile?: string;
  rawAuditFile?: string;
}): Promise<OpenBao> {
  const { port, logFile, auditFile, rawAuditFile } = options;
  const url = `http://127.0.0.1:${port}`;
  const rootToken = 'root';
  const part = startPart(
    join(root, '.keyturn/venv/local/bin/bao'),
    [
      'server',
      '-dev',
      `-dev-root-token-id=${rootToken}`,
      `-dev-listen-address=127.0.0.1:${port}`,
      '-dev-no-store-token',
      ...(auditFile === undefined ? [] : [`-config=${auditDevice('file', auditFile)}`]),
      ...(rawAuditFile === undefined ? [] : [`-config=${auditDevice('raw', rawAuditFile)}`]),
    ],
    { logFile },
  );
  const request = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}/v1/${path}`, {
      method,
      headers: { 'x-vault-token': rootToken },
      signal: AbortSignal.timeout(5_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`OpenBao: ${method} ${path} answered ${response.status}`);
    const text = await response.text();
    return text === '' ? undefined : JSON.parse(text);
  };
  try {
    await until('OpenBao has its KV', () => request('GET', 'secret/config').then(() => true));
  } catch (error) {
    await part[Symbol.asyncDispose]();
    throw error;
  }
  return {
    ...part,
    url,
    rootToken,
    request,
    seal: async () => void (await request('PUT', 'sys/seal')),
    unseal: async (key) => void (await request('PUT', 'sys/unseal', { key })),
  };
}

/** An audit device can't be turned on by the API. */
function auditDevice(name: 'file' | 'raw', auditFile: string): string {
  const file = `${auditFile}.hcl`;
  const options = `file_path = ${JSON.stringify(auditFile)}${name === 'raw' ? '\n    log_raw = "true"' : ''}`;
  writeFileSync(file, `audit "file" "${name}" {\n  options {\n    ${options}\n  }\n}\n`);
  return file;
}
