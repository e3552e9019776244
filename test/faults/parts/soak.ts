import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { root } from '../../../local/root.ts';
import type { Line } from '../report/report.ts';

const schema = z.object({
  rotations: z.number(),
  failedRequests: z.number(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean() })),
});

export interface Soaked {
  readonly rotations: number;
  readonly failedRequests: number;
  readonly lines: readonly Line[];
}

/** The soak, in a process of its own. One that ends without a report broke. */
export function runSoak(folder: string, rotations: number): Soaked {
  const file = join(folder, 'soak.json');
  rmSync(file, { force: true });
  spawnSync(
    process.execPath,
    ['local/bootstrap.mjs', 'test/faults/soak/main.ts', '--rotations', `${rotations}`, '--report', file],
    { cwd: root, stdio: 'inherit' },
  );
  if (!existsSync(file)) {
    return {
      rotations: 0,
      failedRequests: 0,
      lines: [{ part: 'soak', what: 'ends with a report', run: 1, held: 0 }],
    };
  }
  const { checks, ...figures } = schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const lines = checks.map(({ name, ok }) => ({ part: 'soak', what: name, run: 1, held: ok ? 1 : 0 }));
  return { ...figures, lines };
}
