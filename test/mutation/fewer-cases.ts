import fc from 'fast-check';

// A mutant that a thousand cases don't find, ten thousand rarely do; and nobody reads the smallest case that kills it.
fc.configureGlobal({ numRuns: 1_000, endOnFailure: true });
