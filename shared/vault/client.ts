import nodeVault from 'node-vault';
import * as z from 'zod';
import {
  CasMismatchError,
  VaultDeniedError,
  VaultResponseError,
  VaultSealedError,
  VaultStandbyError,
  VaultUnreachableError,
} from './errors.ts';

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
 * The one place that touches node-vault. Its errors carry the token and the body, so none leaves, not even as a cause.
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
}): CandidVault {
  const { mount, login, namespace = '', timeoutMs = 5_000 } = options;
  const client = nodeVault({ endpoint: options.address, requestOptions: { timeout: timeoutMs } });
  // Without these it falls back on VAULT_TOKEN, or a token file's, and VAULT_NAMESPACE.
  client.token = '';
  Object.assign(client, { namespace });
  let loggedIn: Promise<void> | undefined;

  const logIn = async () => {
    if (typeof login !== 'function') {
      client.token = login.token;
      return;
    }
    const { path, body } = await login();
    const answer = await translated(() => client.write(path, body));
    client.token = parsed(answers.login, answer).auth.client_token;
  };
  const held = (): Promise<void> => {
    if (loggedIn) return loggedIn;
    const login = logIn();
    loggedIn = login;
    login.catch(() => giveUp(login));
    return login;
  };
  const giveUp = (login: Promise<void>) => {
    // Unless another request has logged in since.
    if (loggedIn === login) loggedIn = undefined;
  };
  /**
   * A token that has ended is refused like one without rights, so a refusal is worth one fresh login. What that one is refused
   * too is a matter of policy: it is kept, and the next refusal is worth another, so that rights given meanwhile are found.
   * Any other failure says nothing of the token.
   */
  const request = async (make: () => Promise<unknown>): Promise<unknown> => {
    const isFresh = loggedIn === undefined;
    const login = held();
    await login;
    try {
      return await translated(make);
    } catch (error) {
      if (isFresh || !(error instanceof VaultDeniedError)) throw error;
    }
    giveUp(login);
    await held();
    return translated(make);
  };
  const at = (kind: 'data' | 'metadata', path: string) =>
    `${mount}/${kind}/${path.split('/').map(encodeURIComponent).join('/')}`;

  const readData = async (path: string) => {
    const answer = await request(() => client.read(at('data', path)));
    return answer === undefined ? undefined : parsed(answers.data, answer).data;
  };
  const keyOf = ({ data, metadata }: z.output<typeof answers.data>['data']): Key => ({
    currentVersion: metadata.version,
    custom: metadata.custom_metadata ?? {},
    data,
  });
  const readMetadata = async (path: string): Promise<KeyMetadata | undefined> => {
    const answer = await request(() => client.read(at('metadata', path)));
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
      const answer = await request(() => client.write(at('data', path), { data, options: { cas } }));
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
      const answer = await request(() => client.write(at('metadata', path), { custom_metadata: custom }));
      parsed(answers.nothing, answer);
    },
    async list(folder) {
      const answer = await request(() => client.list(at('metadata', folder)));
      return answer === undefined ? [] : parsed(answers.list, answer).data.keys;
    },
    async remove(path) {
      parsed(answers.nothing, await request(() => client.delete(at('metadata', path))));
    },
    async lookupToken() {
      const { data } = parsed(answers.token, await request(() => client.read('auth/token/lookup-self')));
      return { renewable: data.renewable, ttlSeconds: data.ttl };
    },
    async capabilities(kind, path) {
      const answer = await request(() => client.write('sys/capabilities-self', { paths: [at(kind, path)] }));
      return parsed(answers.capabilities, answer).capabilities;
    },
  };
}

/** Zod's own error may hold what it was given; ours does not. */
export function parsed<T>(schema: z.ZodType<T>, answer: unknown): T {
  const result = schema.safeParse(answer);
  if (!result.success) throw new VaultResponseError('Vault answered in an unknown shape');
  return result.data;
}

const failure = z.object({
  response: z.object({
    statusCode: z.number(),
    body: z
      .object({ errors: z.array(z.string()).optional() })
      .nullish()
      .catch(undefined),
  }),
});

/** Undefined where Vault says 404. Errors are rethrown outside the catch, so that nothing of node-vault's hangs on them. */
export async function translated(request: () => Promise<unknown>): Promise<unknown> {
  const outcome = await request().then(
    (value) => ({ value }),
    (error: unknown) => ({ error: translation(error) }),
  );
  if ('value' in outcome) return outcome.value;
  if (outcome.error) throw outcome.error;
  return undefined;
}

function translation(error: unknown): Error | undefined {
  const known = failure.safeParse(error);
  if (!known.success) return new VaultUnreachableError('Vault did not answer');
  const { statusCode, body } = known.data.response;
  const says = (words: string) => body?.errors?.some((text) => text.includes(words)) ?? false;
  if (statusCode === 404) return undefined;
  if (statusCode === 403) return new VaultDeniedError('Vault refused the request');
  if (statusCode === 400 && says('check-and-set')) return new CasMismatchError('The key changed meanwhile');
  if (statusCode === 503 && says('sealed')) return new VaultSealedError('Vault is sealed');
  if ([429, 472, 473, 474].includes(statusCode) || says('standby')) {
    return new VaultStandbyError('A standby node answered');
  }
  if (statusCode >= 500) return new VaultUnreachableError(`Vault answered ${statusCode}`);
  return new VaultResponseError(`Vault answered ${statusCode}`);
}
