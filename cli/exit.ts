/** What the command ends with. Anything that throws ends it with `failed`, a CalledWronglyError with `calledWrongly`. */
export const exit = {
  /** All is as it was asked to be. */
  done: 0,
  failed: 1,
  calledWrongly: 2,
  /** It worked, and there is something that a person should look at: a difference (`--dry-run`), a finding, a problem. */
  attention: 3,
  /** Ctrl-C, as a shell has it. */
  interrupted: 130,
} as const;

/** Whoever was asked pressed Ctrl-C. Nothing was changed. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/** The command can't be run as it was called. Nothing was changed. */
export class CalledWronglyError extends Error {
  override readonly name = 'CalledWronglyError';
}

/**
 * Looks at what a command was called with, before it changes anything: an error of one of these classes is the caller's.
 *
 * @example const fleet = await asCalled(() => readDeclarations(path), DeclarationError);
 */
export async function asCalled<Result>(
  look: () => Result | Promise<Result>,
  ...errors: readonly (new (
    ...given: never[]
  ) => Error)[]
): Promise<Result> {
  try {
    return await look();
  } catch (error) {
    const wrong = errors.some((each) => error instanceof each) && error instanceof Error;
    throw wrong ? new CalledWronglyError(error.message, { cause: error }) : error;
  }
}
