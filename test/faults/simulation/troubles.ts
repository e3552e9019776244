/**
 * When something last went wrong for a secret: a call that failed, was slow or saw what was, a function that died. What fails
 * long after that, fails by itself.
 */
export class Troubles {
  readonly #last = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `name` is an invocation's, which begins with the secret's number. */
  note(name: string): void {
    this.#last.set(subjectOf(name), this.#now());
  }

  /** Whether nothing went wrong for so long. */
  quietFor(ms: number, name: string, since: number): boolean {
    return since - (this.#last.get(subjectOf(name)) ?? Number.NEGATIVE_INFINITY) >= ms;
  }
}

const subjectOf = (name: string): string => name.split('/', 1)[0] ?? name;
