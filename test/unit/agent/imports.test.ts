import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { root } from '../../../local/root.ts';

test("importing keyturn/agent brings neither a rotator, nor a function, nor the mirrors' client along", async () => {
  const { metafile } = await build({
    entryPoints: [join(root, 'agent/index.ts')],
    absWorkingDir: root,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    write: false,
    metafile: true,
  });
  const files = Object.keys(metafile.inputs);
  expect(files).toContain('agent/agent-secrets.ts');
  const small =
    /^(agent|events|shared\/credential|shared\/notification\/agent-names|shared\/observability\/error-class|shared\/vault\/ask-vault)\b/;
  const foreign = files.filter((file) => !small.test(file));
  expect(foreign).toEqual([]);
});
