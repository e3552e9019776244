import * as z from 'zod';
import { SecretValue } from '../credential/secret-value.ts';
import type { VaultQuestion } from './ask-vault.ts';
import { VaultDeniedError } from './errors.ts';
import { listOf, parsed, vaultRequests, type Wait } from './requests.ts';

/** Gives what to send to which login path. */
export type VaultLogin = () => Promise<{
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}>;

export const appRoleLogin =
  (credentials: () => Promise<{ roleId: string; secretId: string }>, mount = 'approle'): VaultLogin =>
  async () => {
    const { roleId, secretId } = await credentials();
    return { path: `auth/${mount}/login`, body: { role_id: roleId, secret_id: secretId } };
  };

export interface KeyMetadata {
  /** 0: metadata without data. */
  readonly currentVersion: number;
  readonly custom: Readonly<Record<string, string>>;
}

/** A key of KV v2 with its newest version's data, unless that was deleted or never written. */
export interface Key extends KeyMetadata {
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface Vault {
  readData(path: string): Promise<{ data: Record<string, unknown>; version: number } | undefined>;
  /** Writes where `cas` still is the key's version; 0: where it has none. Gives the new version. */
  writeData(path: string, data: Readonly<Record<string, unknown>>, cas: number): Promise<number>;
  readMetadata(path: string): Promise<KeyMetadata | undefined>;
  /** Data and metadata, in one call where there is data. */
  readKey(path: string): Promise<Key | undefined>;
  writeCustomMetadata(path: string, custom: Readonly<Record<string, string>>): Promise<void>;
  /** What is directly below a folder; a folder below it ends with `/`. */
  list(folder: string): Promise<readonly string[]>;
  /** Removes the key: every version and the metadata. */
  remove(path: string): Promise<void>;
  lookupToken(): Promise<{ renewable: boolean; ttlSeconds: number }>;
}

/** A Vault that can be asked what its login may do there. */
export interface CandidVault extends Vault {
  /** What the login may do at a path of the mount's data or metadata, such as `read`; `deny` where it may do nothing. */
  capabilities(kind: 'data' | 'metadata', path: string): Promise<readonly string[]>;
}

const answers = {
  // Empty where a second factor is asked for: no login at all.
  login: z.object({ auth: z.object({ client_token: z.string().min(1) }) }),
  data: z.object({
    data: z.object({
      // Not z.record, which leaves out a field named __proto__.
      data: z.custom<Record<string, unknown>>(isObject),
      metadata: z.object({
        version: z.number(),
        custom_metadata: z.record(z.string(), z.string()).nullish(),
      }),
    }),
  }),
  written: z.object({ data: z.object({ version: z.number() }) }),
  metadata: z.object({
    data: z.object({
      current_version: z.number(),
      custom_metadata: z.record(z.string(), z.string()).nullish(),
    }),
  }),
  /** 204: what isn't empty is no answer of Vault's. */
  nothing: z.union([z.undefined(), z.literal('')]),
  list: z.object({ data: z.object({ keys: z.array(z.string()) }) }),
  capabilities: z.object({ capabilities: z.array(z.string()) }),
  token: z.object({ data: z.object({ renewable: z.boolean(), ttl: z.number() }) }),
};

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The KV v2 mount of the mirrors, and what its login may do there. Errors are those of `errors.ts`, without causes.
 *
 * @example
 * const vault = connectVault({ address, mount: 'secret', login: appRoleLogin(readLogin) });
 * await vault.readData('agents/a1/credentials');
 */
export function connectVault(options: {
  address: string;
  mount: string;
  /** Or the token of a person at a terminal. */
  login: VaultLogin | { readonly token: string };
  /** Of HCP or Enterprise: where to log in, and where the mount is. Empty: the root namespace. */
  namespace?: string;
  timeoutMs?: number;
  wait?: Wait;
}): CandidVault {
  const { address, namespace, mount, login, timeoutMs = 5_000, wait } = options;
  const ask = vaultRequests({ address, namespace, timeoutMs, wait });
  let loggedIn: Promise<SecretValue> | undefined;

  const logIn = async () => {
    if (typeof login !== 'function') return SecretValue.of(login.token);
    const { path, body } = await login();
    const answer = await ask('POST', path, { body });
    return SecretValue.of(parsed(answers.login, answer).auth.client_token);
  };
  const held = (): Promise<SecretValue> => {
    if (loggedIn) return loggedIn;
    const login = logIn();
    loggedIn = login;
    login.catch(() => giveUp(login));
    return login;
  };
  const giveUp = (login: Promise<SecretValue>) => {
    // Unless another request has logged in since.
    if (loggedIn === login) loggedIn = undefined;
  };
  /**
   * A token that has ended is refused like one without rights, so a refusal is worth one fresh login. What that one is refused
   * too is a matter of policy: it is kept, and the next refusal is worth another, so that rights given meanwhile are found.
   * Any other failure says nothing of the token.
   */
  const request = async (method: VaultQuestion['method'], path: string, body?: object): Promise<unknown> => {
    const isFresh = loggedIn === undefined;
    const login = held();
    const token = await login;
    try {
      return await ask(method, path, { token, body });
    } catch (error) {
      if (isFresh || !(error instanceof VaultDeniedError)) throw error;
    }
    giveUp(login);
    return ask(method, path, { token: await held(), body });
  };
  const at = (kind: 'data' | 'metadata', path: string) =>
    `${mount}/${kind}/${path.split('/').map(encodeURIComponent).join('/')}`;

  const readData = async (path: string) => {
    const answer = await request('GET', at('data', path));
    return answer === undefined ? undefined : parsed(answers.data, answer).data;
  };
  const keyOf = ({ data, metadata }: z.output<typeof answers.data>['data']): Key => ({
    currentVersion: metadata.version,
    custom: metadata.custom_metadata ?? {},
    data,
  });
  const readMetadata = async (path: string): Promise<KeyMetadata | undefined> => {
    const answer = await request('GET', at('metadata', path));
    if (answer === undefined) return undefined;
    const { data } = parsed(answers.metadata, answer);
    return { currentVersion: data.current_version, custom: data.custom_metadata ?? {} };
  };

  return {
    async readData(path) {
      const found = await readData(path);
      return found && { data: found.data, version: found.metadata.version };
    },
    async writeData(path, data, cas) {
      const answer = await request('POST', at('data', path), { data, options: { cas } });
      return parsed(answers.written, answer).data.version;
    },
    readMetadata,
    async readKey(path) {
      const found = await readData(path);
      if (found) return keyOf(found);
      const known = await readMetadata(path);
      if (!known || known.currentVersion === 0) return known;
      // Deleted, or written between the two reads: that would look missing, and be written once more.
      const written = await readData(path);
      return written ? keyOf(written) : known;
    },
    async writeCustomMetadata(path, custom) {
      const answer = await request('POST', at('metadata', path), { custom_metadata: custom });
      parsed(answers.nothing, answer);
    },
    async list(folder) {
      const answer = await request('GET', listOf(at('metadata', folder)));
      return answer === undefined ? [] : parsed(answers.list, answer).data.keys;
    },
    async remove(path) {
      parsed(answers.nothing, await request('DELETE', at('metadata', path)));
    },
    async lookupToken() {
      const { data } = parsed(answers.token, await request('GET', 'auth/token/lookup-self'));
      return { renewable: data.renewable, ttlSeconds: data.ttl };
    },
    async capabilities(kind, path) {
      const answer = await request('POST', 'sys/capabilities-self', { paths: [at(kind, path)] });
      return parsed(answers.capabilities, answer).capabilities;
    },
  };
}
