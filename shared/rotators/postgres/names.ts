/** The NOLOGIN role that owns an agent's objects and privileges; its two logins are `<group>_a` and `<group>_b`. */
export function groupOf(username: string): string {
  return username.replace(/_[ab]$/, '');
}

/** The login that takes over from this one. A login without a suffix is its own group (ADR 2), and `_a` follows it. */
export function alternateOf(username: string): string {
  return `${groupOf(username)}${username.endsWith('_a') ? '_b' : '_a'}`;
}
