/** A request that the sidecar answers. */
export type Route =
  | { readonly kind: 'ping' | 'health' | 'metrics' }
  | { readonly kind: 'watch'; readonly secretId: string }
  | { readonly kind: 'vault'; readonly path: string; readonly mount?: string }
  | {
      readonly kind: 'get';
      readonly secretId: string;
      readonly versionId?: string;
      readonly versionStage?: string;
      readonly refreshNow: boolean;
    };

/** A request that it does not answer, and why. */
export class RefusedRequestError extends Error {
  override readonly name = 'RefusedRequestError';
  readonly status: 400 | 403 | 404 | 405 | 429;
  constructor(status: RefusedRequestError['status'], message: string) {
    super(message);
    this.status = status;
  }
}

const PATH_PREFIX = '/v1/';
const LONGEST_ID = 2_048;

/**
 * Reads a request's path and query: those of the AWS Secrets Manager Agent (its README, "Retrieve secrets"), and ours.
 *
 * @throws RefusedRequestError 404 for a path that is none of them, 400 for a query that can't be read.
 * @example
 * routeOf('/secretsmanager/get?secretId=agents/billing-7/credentials&refreshNow=true');
 */
export function routeOf(url: string): Route {
  // Joined, not resolved: of `//other/path` the URL parser would take `other` for a host.
  if (!url.startsWith('/')) throw new RefusedRequestError(404, 'Not found');
  const { pathname, searchParams } = new URL(`http://sidecar${url}`);
  switch (pathname) {
    case '/ping':
      return { kind: 'ping' };
    case '/health':
      return { kind: 'health' };
    case '/metrics':
      return { kind: 'metrics' };
    case '/secretsmanager/watch':
      return { kind: 'watch', secretId: secretIdOf(searchParams.get('secretId')) };
    case '/vault/get':
      return vaultOf(searchParams);
    case '/secretsmanager/get':
      return getOf(searchParams.get('secretId'), searchParams);
  }
  if (pathname.startsWith(PATH_PREFIX))
    return getOf(decoded(pathname.slice(PATH_PREFIX.length)), searchParams);
  throw new RefusedRequestError(404, 'Not found');
}

function getOf(id: string | null, query: URLSearchParams): Route {
  const [versionId, versionStage] = [query.get('versionId'), query.get('versionStage')];
  return {
    kind: 'get',
    secretId: secretIdOf(id),
    ...(versionId && { versionId }),
    ...(versionStage && { versionStage }),
    refreshNow: flagOf(query.get('refreshNow')),
  };
}

function vaultOf(query: URLSearchParams): Route {
  const [path, mount] = [query.get('path'), query.get('mount')];
  if (!path) throw new RefusedRequestError(400, 'path is missing');
  const plain = [path, mount ?? 'secret'].every((text) => /^[\w.@=-]+(\/[\w.@=-]+)*$/.test(text));
  if (!plain || /(^|\/)\.+(\/|$)/.test(`${mount}/${path}`))
    throw new RefusedRequestError(400, 'path: expected plain names');
  return { kind: 'vault', path, ...(mount && { mount }) };
}

function secretIdOf(id: string | null): string {
  if (!id) throw new RefusedRequestError(400, 'secretId is missing');
  if (id.length > LONGEST_ID) throw new RefusedRequestError(400, 'secretId is too long');
  return id;
}

function flagOf(text: string | null): boolean {
  if (text === null || text.toLowerCase() === 'false') return false;
  if (text.toLowerCase() === 'true') return true;
  throw new RefusedRequestError(400, 'refreshNow: expected true or false');
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new RefusedRequestError(400, 'The path is not well encoded');
  }
}
