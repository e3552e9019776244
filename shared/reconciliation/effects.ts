/** What each kind of finding means for agents, while it lasts. */
const effects: Readonly<Record<string, string>> = {
  'superseded-still-valid':
    'whoever holds the superseded login can still use it; the agent itself works on with the current one',
  'grace-schedule-lost': 'nothing now: the superseded login would have outlived its grace period',
  'rotation-stuck': 'no request: the agent keeps its current credential, which stays in use beyond its time',
  'rotation-off': 'no request: the agent keeps its current credential, which is not renewed',
  'rotation-overdue':
    'no request: the agent keeps its current credential, which stays in use beyond its time',
  'target-drifted': 'what the agent may do in its database: more or less than was declared',
  'mirror-missing': 'agents that read the mirror in Vault get nothing',
  'mirror-behind':
    'agents that read the mirror in Vault get a superseded login, which stops working when its grace period ends',
  'mirror-ahead': 'agents that read the mirror in Vault get another version than AWSCURRENT',
  'mirror-changed-by-hand': 'agents that read the mirror in Vault get what somebody wrote there',
  'mirror-orphaned': 'whoever may read that path in Vault holds a credential that no secret keeps there',
  'mirror-taken': 'the secret has no mirror in Vault: agents that read it there get what is not theirs',
  'mirror-impossible': 'what was mirrored before goes stale: agents that read it get a superseded login',
};

export function effectOf(kind: string): string {
  return effects[kind] ?? 'see its page';
}

/** Kinds that let somebody in, or keep an agent out, for as long as nobody comes. The others can wait for the morning. */
export const urgent: ReadonlySet<string> = new Set([
  'superseded-still-valid',
  'target-drifted',
  'mirror-missing',
  'mirror-behind',
  'mirror-changed-by-hand',
]);
