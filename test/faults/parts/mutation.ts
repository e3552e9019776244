import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { root } from '../../../local/root.ts';

const schema = z.object({
  files: z.record(z.string(), z.object({ mutants: z.array(z.object({ status: z.string() })) })),
});

export interface Mutation {
  /** Percent of the mutants that tests noticed. */
  readonly score: number;
  readonly mutants: number;
  readonly at: Date;
}

/** What the last `npm run mutation` found; hours long, so this command doesn't run it. Undefined: there is no report. */
export function lastMutation(file = join(root, '.keyturn', 'mutation', 'report.json')): Mutation | undefined {
  if (!existsSync(file)) return undefined;
  const mutants = Object.values(schema.parse(JSON.parse(readFileSync(file, 'utf8'))).files).flatMap(
    (one) => one.mutants,
  );
  const count = (...statuses: string[]) => mutants.filter(({ status }) => statuses.includes(status)).length;
  const [noticed, missed] = [count('Killed', 'Timeout'), count('Survived', 'NoCoverage')];
  // One that doesn't compile, or is left out, is no mutant.
  if (noticed + missed === 0) return undefined;
  return {
    score: Math.round((1_000 * noticed) / (noticed + missed)) / 10,
    mutants: noticed + missed,
    at: statSync(file).mtime,
  };
}
