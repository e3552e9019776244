import { sentenceOf } from '../failure.ts';

/** A fact, or the reason why it can't be known: a status that fails because one part can't be read would help nobody. */
export type Known<Fact> = { readonly fact: Fact } | { readonly unknown: string };

export async function known<Fact>(reading: Promise<Fact>): Promise<Known<Fact>> {
  return reading.then(
    (fact) => ({ fact }),
    (error: unknown) => ({ unknown: sentenceOf(error) }),
  );
}
