import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../../../local/root.ts';
import { defects } from '../../faults/planted/defects.ts';

it.each(defects)('the code that "$name" would change is there, once', ({ change: { file, find } }) => {
  expect(readFileSync(join(root, file), 'utf8').split(find)).toHaveLength(2);
});
