/** For AWS clients, in milliseconds. An attempt without an end would hold up everyone who waits for it, so none is without. */
export const PATIENCE = { connectionTimeout: 2_000, requestTimeout: 5_000, throwOnRequestTimeout: true };

/** Whether a client's requests go through a handler, or an agent of Node's, that its caller made: then it is the caller's to end. */
export function isCallers(handler: object | undefined): boolean {
  if (handler === undefined) return false;
  const agents = ['httpAgent', 'httpsAgent'].map((name): unknown => Reflect.get(handler, name));
  return has('handle', handler) || agents.some((agent) => has('destroy', agent));
}

function has(method: string, made: unknown): boolean {
  return typeof made === 'object' && made !== null && typeof Reflect.get(made, method) === 'function';
}
