import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from '../../local/root.ts';

/** A change of one file of ours, made in memory while it is bundled. */
export interface SourceChange {
  /** From the root of this checkout. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** The text to change isn't there, or is there more than once: the code has moved on, and the change says nothing any more. */
export class StaleChangeError extends Error {
  override readonly name = 'StaleChangeError';
  constructor({ file, find }: SourceChange, times: number) {
    super(`${file} holds this text ${times} times instead of once: ${find}`);
  }
}

/** Bundles what a worker of the simulation runs, with changes, into a file. @throws StaleChangeError */
export async function bundleWorker(outfile: string, changes: readonly SourceChange[] = []): Promise<void> {
  const byFile = Map.groupBy(changes, ({ file }) => join(root, file));
  const applied = new Set<SourceChange>();
  const texts = new Map<string, string>();
  for (const [path, ofFile] of byFile) {
    let text = await readFile(path, 'utf8');
    for (const change of ofFile) {
      const times = text.split(change.find).length - 1;
      if (times !== 1) throw new StaleChangeError(change, times);
      text = text.replace(change.find, () => change.replace);
    }
    texts.set(path, text);
  }
  await build({
    entryPoints: [join(root, 'test/faults/simulation/worker.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    packages: 'external',
    logLevel: 'silent',
    plugins: [
      {
        name: 'changes',
        setup({ onLoad }) {
          onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const contents = texts.get(path);
            if (contents === undefined) return undefined;
            for (const change of byFile.get(path) ?? []) applied.add(change);
            return { contents, loader: 'ts' };
          });
        },
      },
    ],
  });
  const unused = changes.find((change) => !applied.has(change));
  if (unused) throw new StaleChangeError(unused, 0);
}
