/** What a read of Secrets Manager shows is at most so old. AWS names no limit; in its own words, reads are eventually consistent. */
export const longestLagMs = 5_000;
