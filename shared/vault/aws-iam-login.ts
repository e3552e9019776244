import { createHash, createHmac } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';
import type { AwsCredentialIdentityProvider, Checksum, Provider, SourceData } from '@smithy/types';
import { dnsSuffixOf } from '../aws/dns-suffix.ts';
import type { VaultLogin } from './client.ts';

const body = 'Action=GetCallerIdentity&Version=2011-06-15';

/**
 * Login by Vault's AWS auth method: a signed sts:GetCallerIdentity request, which Vault sends to STS to learn who signed it.
 * Signing asks for no permission and makes no call. (Vault's documentation, "AWS auth method", IAM authentication.)
 *
 * @example
 * const { region, credentials } = secretsManager.config;
 * connectVault({ address, mount, login: awsIamLogin({ role: 'keyturn', serverId: 'vault.example', region, credentials }) });
 */
export function awsIamLogin(options: {
  readonly role: string;
  /** Signed as X-Vault-AWS-IAM-Server-ID; empty: not sent. */
  readonly serverId: string;
  readonly region: Provider<string>;
  readonly credentials: AwsCredentialIdentityProvider;
  readonly mount?: string;
}): VaultLogin {
  const { role, serverId, region, credentials, mount = 'aws' } = options;
  return async () => {
    const own = await region();
    const hostname = `sts.${own}.${dnsSuffixOf(own)}`;
    const signer = new SignatureV4({ service: 'sts', region, credentials, sha256: Sha256 });
    const { headers } = await signer.sign({
      method: 'POST',
      protocol: 'https:',
      hostname,
      path: '/',
      headers: {
        host: hostname,
        'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
        ...(serverId !== '' && { 'x-vault-aws-iam-server-id': serverId }),
      },
      body,
    });
    return {
      path: `auth/${mount}/login`,
      body: {
        role,
        iam_http_request_method: 'POST',
        iam_request_url: base64(`https://${hostname}/`),
        iam_request_body: base64(body),
        iam_request_headers: base64(JSON.stringify(headers)),
      },
    };
  };
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** The platform's SHA-256 in the shape that the SDK's signer takes. */
class Sha256 implements Checksum {
  readonly #hash;
  constructor(key?: SourceData) {
    this.#hash = key === undefined ? createHash('sha256') : createHmac('sha256', bytes(key));
  }
  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
  reset(): void {}
}

function bytes(data: SourceData): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}
