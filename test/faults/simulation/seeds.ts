/** Worlds that broke once, each by a defect that has been fixed since. Every simulation begins with them. */
export const keptSeeds: readonly number[] = [
  // A revocation that came a rotation late ended the grace of the version that had the same login by then.
  // Later: a twin without its version's mark, where setSecret's read of AWSCURRENT lagged.
  1,
  // A label event was dropped where a rotation was abandoned in its first second, and a read lagged.
  2,
  // So was a mirror's, which then went back to the version before.
  10,
  // A slow setSecret of a rotation that was given up took the password of the next, which had just become AWSCURRENT.
  70,
  // A rotation that was given up at its very end moved AWSCURRENT, after the next had taken its login.
  72,
  // A mirror went back where a run of the next version was killed before its stamp, and a read lagged.
  58,
  // An agent gave up a version's word sooner than reads lag, and went back to the version before.
  156,
  // A mirror went back where the run of the next version had not stamped it yet, and a read lagged.
  42,
  // A rotation that began before the one before it was over was taken to its end, and its grace counted from that one's date.
  219,
  // An agent whose read failed while it looked for a noticed version began its waits anew, and gave up sooner than reads lag.
  341,
  // A rotation whose event was read when the next had begun was announced as a change by hand, and the end of its grace not scheduled.
  380,
  // A rotation that was given up moved AWSCURRENT to its login, while that was refused at the end of an earlier grace period.
  191,
];
