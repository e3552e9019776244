import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pMap from 'p-map';
import { afterAll, expect, it } from 'vitest';
import { root } from '../../../local/root.ts';
import type { Line } from '../report/report.ts';
import { moments, type Point, type Run, runStruckAt } from './killer.ts';

/** A world of its own, in which one run is struck. */
export interface Trial {
  /** Has the handler run as that run, which is struck. That it fails is no finding. */
  strike(run: Run): Promise<unknown>;
  /** Who ended well is not delivered again. */
  recover(hasFailed: boolean): Promise<unknown>;
  /** Throws where anything is lost. */
  expectWell(struckAt: Point | undefined): Promise<void>;
}

export interface Cases {
  readonly what: string;
  /** Outside calls that the run is known to make. Fewer would mean that they are no longer seen. */
  readonly least: number;
  /** Beside another run it may have less to do, and not come to every point. */
  readonly mayMiss?: boolean;
  arrange(): Promise<Trial>;
}

const atOnce = 4;

/** The tests of one part of the matrix, and its counts in `.keyturn/prove/matrix/{part}.json` once they have run. */
export function matrixOf(part: string): (cases: Cases) => void {
  const lines: Line[] = [];
  afterAll(() => {
    const folder = join(root, '.keyturn/prove/matrix');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${part}.json`), `${JSON.stringify(lines, undefined, 2)}\n`);
  });
  return (cases) => {
    it(cases.what, async () => {
      const recorded = runStruckAt();
      await tried(cases, undefined, recorded);
      expect(recorded.calls.length).toBeGreaterThanOrEqual(cases.least);
      const points = recorded.calls.flatMap((call, index) =>
        moments
          .filter((moment) => !moment.endsWith('asked again') || isAskedAgain(recorded, call, index + 1))
          .map((moment): Point => ({ nth: index + 1, call, moment })),
      );
      let run = 0;
      const broken = await pMap(
        points,
        async (point) => {
          const struck = runStruckAt(point);
          const failure = await tried(cases, point, struck).then(
            () => undefined,
            (error: unknown) => (error instanceof Error ? error.message : 'something was thrown'),
          );
          const missed = struck.struckAt() === undefined;
          if (missed && cases.mayMiss && failure === undefined) return [];
          run += 1;
          const why = failure ?? (missed ? 'the run never came there' : undefined);
          const { nth, call, moment } = struck.struckAt() ?? point;
          return why === undefined ? [] : `call ${nth}, ${call}, ${moment}: ${why}`;
        },
        { concurrency: atOnce },
      );
      const failures = broken.flat();
      lines.push({ part, what: cases.what, run, held: run - failures.length });
      // In words, where a comparison would cut them short.
      if (failures.length > 0) expect.fail(failures.join('\n'));
      expect(run).toBeGreaterThanOrEqual(cases.least);
    }, 600_000);
  };
}

/** A read that is asked for again is a read. */
function isAskedAgain(run: Run, call: string, nth: number): boolean {
  return run.isAskedAgain(nth) && !/^(Get|List|Describe)/.test(call);
}

async function tried(cases: Cases, point: Point | undefined, run: Run): Promise<void> {
  const trial = await arranged(cases);
  const hasFailed = await trial.strike(run).then(
    () => false,
    (error: unknown) => {
      if (!point) throw error;
      return true;
    },
  );
  await trial.recover(hasFailed);
  await trial.expectWell(run.struckAt());
}

let last: Promise<unknown> = Promise.resolve();

/** One after the other: PostgreSQL refuses grants on one schema that are made at the same time. */
function arranged({ arrange }: Cases): Promise<Trial> {
  const next = last.then(arrange);
  last = next.catch(() => undefined);
  return next;
}
