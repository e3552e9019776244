/** The class of what was thrown, for logs and events: a library's message may quote what it was given. */
export const errorClassOf = (error: unknown): string =>
  error instanceof Error ? error.name : 'UnknownError';
