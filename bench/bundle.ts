import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import * as yaml from 'yaml';
import * as z from 'zod';
import { root } from '../local/root.ts';

const deployment = z.object({
  custom: z.object({
    esbuild: z.object({
      target: z.string(),
      mainFields: z.array(z.string()),
      exclude: z.array(z.string()),
      banner: z.object({ js: z.string() }),
    }),
  }),
});

/** Bundles a module as serverless.yml says that functions are bundled. Gives the size in bytes. */
export async function bundled(
  entry: { file: string } | { source: string },
  outfile: string,
): Promise<number> {
  const document = yaml.parse(readFileSync(join(root, 'serverless.yml'), 'utf8'), { logLevel: 'silent' });
  const { target, mainFields, exclude, banner } = deployment.parse(document).custom.esbuild;
  const result = await build({
    ...('file' in entry
      ? { entryPoints: [join(root, entry.file)] }
      : { stdin: { contents: entry.source, resolveDir: root, loader: 'ts' } }),
    outfile,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    target,
    mainFields,
    external: exclude,
    banner,
    metafile: true,
    logLevel: 'error',
  });
  return Object.values(result.metafile.outputs).reduce((sum, { bytes }) => sum + bytes, 0);
}
