import { join } from 'node:path';
import { type Caught, caught, sightOf, soundSeeds } from '../planted/catch.ts';
import { defects } from '../planted/defects.ts';
import type { Section } from '../report/report.ts';

/** Puts each defect into the code, and looks whether a world that held without it breaks. */
export async function plant(folder: string, threads: number): Promise<readonly Caught[]> {
  const results: Caught[] = [];
  const seeds = await soundSeeds(join(folder, 'sound.mjs'), 24);
  const waiting = [...defects.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, defect] = next;
      const result = await caught(defect, join(folder, `planted-${index}.mjs`), seeds);
      results.push(result);
      console.log(`planted: ${defect.name}: ${sightOf(result)}`);
    }
  };
  await Promise.all(Array.from({ length: threads }, work));
  return results;
}

/** The report's part of the planted defects; undefined where they were left out. */
export function plantedSection(results: readonly Caught[] | undefined): Section {
  return {
    title: 'Planted defects',
    explanation:
      'Defects that others have written, put into the code one at a time. The simulation must see each.',
    lines: results?.map(({ defect, by, seed }) => ({
      part: defect,
      what: sightOf({ defect, by, seed }),
      run: 1,
      held: by === undefined ? 0 : 1,
    })),
    otherwise: 'Left out by --only or --seed.',
    figures: results
      ? [['Caught', `${results.filter(({ by }) => by !== undefined).length} of ${results.length}`]]
      : [],
  };
}
