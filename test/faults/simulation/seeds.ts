/** Worlds that broke once, each by a defect that has been fixed since. Every simulation begins with them. */
export const keptSeeds: readonly number[] = [
  // A revocation that came a rotation late ended the grace of the version that had the same login by then.
  1,
];
