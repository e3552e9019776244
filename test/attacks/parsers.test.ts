import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RefusedRequestError, routeOf } from '../../agent/sidecar/route.ts';
import { parsed, UnexpectedShapeError } from '../../events/contract.ts';
import { contracts } from '../../events/contracts.ts';
import { secretAdopted } from '../../events/secret-adopted/event.ts';
import { syncRecord } from '../../functions/sync-vault-mirror/sync-record.ts';
import { root } from '../../local/root.ts';
import { credentialsIn, withCredentials } from '../../shared/credential/credentials-in.ts';
import { InvalidSecretError } from '../../shared/credential/errors.ts';
import { SecretJson } from '../../shared/credential/secret-json.ts';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { postgresLogin } from '../../shared/rotators/postgres/credential.ts';
import { rotatorOf } from '../../shared/rotators/registry.ts';
import { connectVault } from '../../shared/vault/client.ts';
import { vaultLogin } from '../../shared/vault/login.ts';
import { mirrorPath } from '../../shared/vault/mirror-path.ts';
import { vaultSettings } from '../../shared/vault/settings.ts';

const canary = 'canary-5f2e19c0d7';
const secretOf = (text: string) => SecretJson.parse(SecretValue.of(text));

/** Everything that a reader of logs could see of an error. */
const shown = (error: unknown) =>
  error instanceof Error
    ? [
        error.message,
        error.stack,
        inspect(error, { depth: 20, showHidden: true }),
        JSON.stringify(error),
      ].join('\n')
    : String(error);
const failureOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('a secret whose author is hostile', () => {
  it.each([
    `{"__proto__":{"engine":"postgres","polluted":"${canary}"}}`,
    `{"constructor":{"prototype":{"polluted":"${canary}"}},"engine":"postgres"}`,
    `{"toString":{"engine":"postgres"},"hasOwnProperty":"x","engine":"postgres"}`,
  ])('changes no object but its own: %s', (text) => {
    const secret = secretOf(text);
    failureOf(() => credentialsIn(secret));
    const copy = secret.with({ username: 'next' });
    failureOf(() => withCredentials(copy, credentialsIn(copy)));
    copy.serialize();
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
    expect(Reflect.get({}, 'engine')).toBeUndefined();
  });

  it('keeps a field called __proto__ as a field, through a rotation', () => {
    const secret = secretOf('{"__proto__":{"a":1},"engine":"postgres"}').with({ username: 'next' });
    expect(secret.serialize().reveal()).toBe('{"__proto__":{"a":1},"engine":"postgres","username":"next"}');
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    'can not make a rotator of an engine called %s',
    (engine) => {
      expect(() => rotatorOf(engine)).toThrow(InvalidSecretError);
    },
  );

  it.each([
    ['nested deeper than any stack', `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`],
    ['cut off', `{"password":"${canary}`],
    ['no JSON', canary],
    ['a list', `["${canary}"]`],
    ['empty', ''],
    ['null', 'null'],
  ])('%s is refused or carried, and never quoted', (_, text) => {
    const error = failureOf(() => credentialsIn(secretOf(text)));
    expect(error).toMatchObject({ name: 'InvalidSecretError' });
    expect(shown(error)).not.toContain(canary);
  });

  it('of more than 64 KiB is refused before it is put', () => {
    const secret = secretOf('{"engine":"postgres"}').with({ note: '€'.repeat(21_900) });
    expect(() => secret.serialize()).toThrow(InvalidSecretError);
  });

  it('is named by its field and never by its value, whatever it holds', () => {
    const json = fc.jsonValue({ maxDepth: 3 });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), json), json, (fields, value) => {
        const secret = secretOf(
          JSON.stringify({ ...fields, engine: 'postgres', host: value, password: canary, port: canary }),
        );
        const error = failureOf(() => postgresLogin(secret));
        expect(error).toBeInstanceOf(InvalidSecretError);
        expect(shown(error)).not.toContain(canary);
        expect(inspect(secret, { depth: 9, showHidden: true })).not.toContain(canary);
        expect(`${secret} ${JSON.stringify({ secret })}`).not.toContain(canary);
      }),
    );
  });
});

describe('an event that nobody of ours sent', () => {
  const hostile: readonly (readonly [string, unknown])[] = [
    ['nothing', undefined],
    ['text', canary],
    ['a list', [canary]],
    ['a prototype', JSON.parse(`{"__proto__":{"detail":{}},"detail":"${canary}"}`)],
    ['a deep object', Array.from({ length: 5_000 }).reduce((inner: unknown) => ({ detail: inner }), canary)],
    ['a huge field', { detail: canary.repeat(100_000) }],
  ];

  it.each(
    Object.entries(contracts).flatMap(([name, schema]) =>
      hostile.map(([what, event]) => ({ name, schema, what, event })),
    ),
  )('$name: $what is refused, and not repeated', ({ name, schema, event }) => {
    const error = failureOf(() => parsed(name, schema, event));
    expect(error).toBeInstanceOf(UnexpectedShapeError);
    expect(shown(error)).not.toContain(canary);
    expect(shown(error).length).toBeLessThan(20_000);
  });

  it.each(Object.entries(contracts))(
    '%s: any JSON at all is a contract kept, or an error of ours',
    (name, schema) => {
      fc.assert(
        fc.property(fc.jsonValue(), (event) => {
          const error = failureOf(() => parsed(name, schema, event));
          if (error !== undefined) expect(error).toBeInstanceOf(UnexpectedShapeError);
        }),
        { numRuns: 50 },
      );
    },
  );

  it('the mirror queue: a body that is no event, or nested without end, goes back without a word of it', async () => {
    const secretsManager = new SecretsManagerClient({ region: 'eu-central-1' });
    const login = vaultLogin(vaultSettings.parse({}), secretsManager);
    const vault = connectVault({ address: 'https://vault.invalid', mount: 'secret', login });
    const nothing = { info: () => undefined, warn: () => undefined };
    for (const body of [canary, '', `{"a":"${canary}`, '['.repeat(100_000), `"${canary}"`]) {
      const refused = await syncRecord(
        { body },
        { secretsManager, vault, digest: () => expect.unreachable(), log: nothing, count: () => undefined },
      ).catch((error: unknown) => error);
      expect(refused).toMatchObject({ name: 'UnexpectedShapeError' });
      expect(shown(refused)).not.toContain(canary);
    }
  });
});

describe('a path or a query that is hostile', () => {
  it('of the sidecar is a route, or refused with a status', () => {
    const path = fc.oneof(
      fc.string(),
      fc.constantFrom(
        '/',
        '//',
        '/evil/secretsmanager/get',
        'v1/%',
        'v1/%00',
        'vault/get?path=../x',
        '\\\\evil',
      ),
    );
    fc.assert(
      fc.property(path, fc.string(), (start, query) => {
        const error = failureOf(() => routeOf(`/${start}?${query}`));
        if (error !== undefined) expect(error).toBeInstanceOf(RefusedRequestError);
      }),
    );
    for (const whole of ['*', 'http://evil/secretsmanager/get?secretId=x', ''])
      expect(() => routeOf(whole)).toThrow(RefusedRequestError);
  });

  it.each(['..', '%2e%2e', '.', 'a/../../b', 'a//b', '/a', 'a/', 'a%2fb', '+/+', '*', 'ä', '\0', 'a\nb'])(
    'never leads the sidecar out of a mount in Vault: %j',
    (path) => {
      const ask = () => routeOf(`/vault/get?path=${encodeURIComponent(path)}`);
      expect(ask).toThrow(RefusedRequestError);
    },
  );

  it("never leads a mirror out of its agent's folder", () => {
    const segment = fc.oneof(
      fc.string(),
      fc.constantFrom('..', '.', '%2e%2e', 'agents', 'billing', 'other', '', '+', '*'),
    );
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 5 }), (segments) => {
        const path = failureOf(() => mirrorPath(segments.join('/'), 'billing')) ?? segments.join('/');
        if (typeof path !== 'string') return;
        expect(path).toMatch(/^agents\/billing\/[A-Za-z0-9_.@=-]+(\/[A-Za-z0-9_.@=-]+)*$/);
        expect(path.split('/')).not.toContain('..');
      }),
    );
  });
});

describe('an identifier that would write lines of its own into a log, or colours onto a terminal', () => {
  const sample = readFileSync(join(root, 'events/secret-adopted/sample.json'), 'utf8');
  const forgeries = ['\n{"level":"INFO"}', '\r\n', '\u001b[2J', '\u0000', '\u009b31m', '\u202e', '\u2028'];
  const fields = ['secret', 'secretArn', 'agentId', 'agentInstanceId', 'versionId'];

  it.each(
    fields.flatMap((field) => forgeries.map((forgery) => ({ field, forgery: JSON.stringify(forgery) }))),
  )('in the field $field: $forgery is refused, and not repeated', ({ field, forgery }) => {
    const event = JSON.parse(sample);
    event.detail[field] = `${event.detail[field]}${JSON.parse(forgery)}`;
    const error = failureOf(() => parsed('Secret Adopted', secretAdopted.schema, event));
    expect(error).toBeInstanceOf(UnexpectedShapeError);
    expect(error instanceof Error && error.message).not.toContain(JSON.parse(forgery));
    expect(parsed('Secret Adopted', secretAdopted.schema, JSON.parse(sample)).detail.schemaVersion).toBe(1);
  });
});
