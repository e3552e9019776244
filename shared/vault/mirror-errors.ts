/** The tag names a path that is not inside the agent's own prefix. Asks for a change of the tag; no retry helps. */
export class MirrorPathError extends Error {
  override readonly name = 'MirrorPathError';
}
/** The secret's ARN is longer than what KV keeps beside a value. Asks for a secret of a shorter name; no retry helps. */
export class MirrorNameError extends Error {
  override readonly name = 'MirrorNameError';
}
/** Someone else's key is at the path. It is not overwritten. */
export class MirrorTakenError extends Error {
  override readonly name = 'MirrorTakenError';
}
/** Secrets Manager's answer is older than what was mirrored. Worth a retry. */
export class StaleReadError extends Error {
  override readonly name = 'StaleReadError';
}
/** The mirror holds a value that it was never given, as far as is known by now. Worth a retry: reconcile-mirrors settles it. */
export class UnexplainedValueError extends Error {
  override readonly name = 'UnexplainedValueError';
}
/** The secret can't be mirrored: KV holds JSON objects only. */
export class MirrorValueError extends Error {
  override readonly name = 'MirrorValueError';
}
