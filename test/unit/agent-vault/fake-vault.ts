import { SecretDeniedError, SourceUnreachableError } from '../../../agent/errors.ts';
import type { VaultApi } from '../../../agent/vault/api.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Tokens and leases that end in virtual time: each may be renewed until its max TTL, and a lease ends with its token. */
export class FakeVault {
  readonly said: string[] = [];
  /** Requests, those that got no answer included. */
  asked = 0;
  ttl = 60;
  leaseTtl = 60;
  maxTtl = 150;
  leaseMaxTtl = 150;
  /** Of a token that is looked up. */
  renewable = true;
  away = false;
  /** How long it takes until a request has got no answer. */
  hangMs = 0;
  /** Begins of paths for which every token is refused. */
  denied: readonly string[] = [];
  /** What logins fail with. */
  loginFailure: Error | undefined;
  /** Requests for a secret wait for it before their token is looked at. */
  kv = Promise.resolve();
  /** The answers to requests for a login wait for it. */
  database = Promise.resolve();
  readonly #time: VirtualTime;
  #logins = 0;
  #made = 0;
  readonly #tokens = new Map<string, { until: number; max: number }>();
  readonly #leases = new Map<string, { until: number; max: number; token: string }>();

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  readonly api: VaultApi = async (method, path, { token, body } = {}) => {
    this.asked += 1;
    if (this.hangMs > 0) await this.#time.wait(this.hangMs, new AbortController().signal);
    if (this.away || this.hangMs > 0) throw new SourceUnreachableError('away');
    const now = this.#time.now() / 1_000;
    const said = `${method} ${path}`;
    if (path === 'auth/kubernetes/login') {
      if (this.loginFailure) throw this.loginFailure;
      this.#logins += 1;
      const name = `token-${this.#logins}`;
      this.#tokens.set(name, { until: now + this.ttl, max: now + this.maxTtl });
      this.said.push(`login ${name}`);
      return { auth: { client_token: name, lease_duration: this.ttl, renewable: true } };
    }
    const name = token?.reveal() ?? '';
    if (path.startsWith('secret/')) await this.kv;
    const known = this.#tokens.get(name);
    if (!known || known.until <= now) throw new SecretDeniedError('permission denied');
    this.said.push(`${said} by ${name}`);
    if (this.denied.some((begin) => path.startsWith(begin))) throw new SecretDeniedError('permission denied');
    if (path === 'auth/token/renew-self') {
      known.until = Math.min(now + this.ttl, known.max);
      return { auth: { lease_duration: known.until - now, renewable: true } };
    }
    if (path === 'auth/token/revoke-self') {
      this.#tokens.delete(name);
      return undefined;
    }
    if (path.startsWith('secret/')) {
      const metadata = { version: 1, created_time: '2026-11-24T09:00:00Z' };
      return { data: { data: { apiKey: 'canary' }, metadata } };
    }
    if (path === 'database/creds/billing') {
      this.#made += 1;
      const lease_id = `lease-${this.#made}`;
      const lease_duration = this.leaseTtl;
      this.#leases.set(lease_id, { until: now + lease_duration, max: now + this.leaseMaxTtl, token: name });
      await this.database;
      return { lease_id, lease_duration, renewable: true, data: { username: lease_id, password: 'p' } };
    }
    const { lease_id = '' }: { lease_id?: string } = { ...body };
    const lease = this.#leases.get(lease_id);
    if (path === 'sys/leases/revoke') {
      this.#leases.delete(lease_id);
      return undefined;
    }
    if (path === 'sys/leases/renew') {
      if (!lease || !this.works(lease_id)) throw new SecretDeniedError('lease not found');
      lease.until = Math.min(now + this.leaseTtl, lease.max);
      return { lease_duration: lease.until - now };
    }
    // Vault counts in whole seconds; only a root token has no expire_time.
    const expire_time = new Date(known.until * 1_000).toISOString();
    return { data: { ttl: Math.floor(known.until - now), renewable: this.renewable, expire_time } };
  };

  /** Whether the database takes the login of a lease: it and its token are alive. */
  works(leaseId: string): boolean {
    const now = this.#time.now() / 1_000;
    const lease = this.#leases.get(leaseId);
    return lease !== undefined && lease.until > now && (this.#tokens.get(lease.token)?.until ?? 0) > now;
  }

  /** The tokens that were not revoked and have not ended. */
  get alive(): readonly string[] {
    return [...this.#tokens]
      .filter(([, { until }]) => until > this.#time.now() / 1_000)
      .map(([name]) => name);
  }

  /** As an operator would. */
  revoke(name: string): void {
    this.#tokens.delete(name);
  }

  /** How often something was asked for. */
  count(prefix: string): number {
    return this.said.filter((said) => said.startsWith(prefix)).length;
  }
}
