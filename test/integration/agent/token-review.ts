import { createVerify, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { z } from 'zod';

const review = z.object({
  spec: z.object({ token: z.string(), audiences: z.array(z.string()).default([]) }),
});
const claims = z.object({ sub: z.string(), exp: z.number(), aud: z.array(z.string()) });

export interface Cluster extends AsyncDisposable {
  readonly url: string;
  /** As the kubelet projects it into a pod. `signedByUs: false`: another cluster's. */
  serviceAccountToken(
    namespace: string,
    name: string,
    options?: { readonly signedByUs?: boolean; readonly audience?: string },
  ): string;
}

/** The part of a Kubernetes API that Vault asks: it reviews tokens by their signature, expiry and subject. */
export async function startCluster(port: number): Promise<Cluster> {
  const [ours, others] = [keys(), keys()];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { token, audiences } = review.parse(JSON.parse(body)).spec;
    const account = subjectOf(token, audiences, ours.publicKey);
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        status: statusOf(account),
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${port}`,
    serviceAccountToken(namespace, name, { signedByUs = true, audience = 'vault' } = {}) {
      const now = Math.floor(Date.now() / 1_000);
      const head = part({ alg: 'RS256', typ: 'JWT' });
      const payload = part({
        iss: 'kubernetes/serviceaccount',
        sub: `system:serviceaccount:${namespace}:${name}`,
        aud: [audience],
        iat: now - 60,
        nbf: now - 60,
        exp: now + 600,
        'kubernetes.io': { namespace, serviceaccount: { name, uid: 'uid-1' } },
      });
      const key = signedByUs ? ours.privateKey : others.privateKey;
      return `${head}.${payload}.${sign('sha256', Buffer.from(`${head}.${payload}`), key).toString('base64url')}`;
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

const keys = () => generateKeyPairSync('rsa', { modulusLength: 2_048 });
const part = (json: object) => Buffer.from(JSON.stringify(json)).toString('base64url');

function subjectOf(
  token: string,
  audiences: readonly string[],
  publicKey: ReturnType<typeof keys>['publicKey'],
): string | undefined {
  const [head = '', payload = '', signature = ''] = token.split('.');
  const verified = createVerify('sha256')
    .update(`${head}.${payload}`)
    .verify(publicKey, signature, 'base64url');
  const { sub, exp, aud } = claims.parse(JSON.parse(Buffer.from(payload, 'base64url').toString()));
  const isMeant = audiences.length === 0 || aud.some((each) => audiences.includes(each));
  return verified && isMeant && exp * 1_000 > Date.now() ? sub : undefined;
}

function statusOf(username: string | undefined): object {
  return username === undefined
    ? { authenticated: false, error: 'the signature does not hold' }
    : {
        authenticated: true,
        user: { username, uid: 'uid-1', groups: ['system:serviceaccounts'] },
        audiences: ['vault'],
      };
}
