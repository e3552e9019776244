/** The secrets of one account and region: what is kept of each, and how a SecretId finds it. */
import { type ErrorCode, invalidRequest, notFound, SecretsManagerError } from './errors.ts';
import type { Labels } from './labels.ts';
import type { Window } from './schedule.ts';

/** A value as it travels: text, or base64 of bytes. */
export type Value =
  | { readonly SecretString: string; readonly SecretBinary?: undefined }
  | { readonly SecretBinary: string; readonly SecretString?: undefined };

export type Version = {
  readonly id: string;
  readonly created: Date;
  /** Absent while a rotation has made the version and nobody has put a value yet. */
  value: Value | undefined;
  lastAccessed: Date | undefined;
};

export type RotationRules = {
  AutomaticallyAfterDays?: number | undefined;
  Duration?: string | undefined;
  ScheduleExpression?: string | undefined;
};

export type Secret = {
  readonly arn: string;
  readonly name: string;
  readonly created: Date;
  description: string | undefined;
  kmsKeyId: string | undefined;
  tags: Map<string, string>;
  versions: Map<string, Version>;
  labels: Labels;
  lastChanged: Date;
  lastAccessed: Date | undefined;
  deleted: { readonly at: Date; readonly final: Date } | undefined;
  policy: string | undefined;
  /** Absent until RotateSecret was called once; CancelRotateSecret keeps the function and forgets the rules. */
  rotation:
    | {
        enabled: boolean;
        lambdaArn: string;
        rules: RotationRules;
        last: Date | undefined;
        next: Window | undefined;
      }
    | undefined;
};

export type Secrets = ReturnType<typeof createSecrets>;

export function createSecrets({ now }: { now: () => Date }) {
  const byName = new Map<string, Secret>();

  /** Those whose recovery window is over are gone. */
  function buryExpired() {
    for (const [name, { deleted }] of byName) if (deleted && deleted.final <= now()) byName.delete(name);
  }

  /** By name, ARN, or ARN without the six characters at its end. */
  function find(secretId: string): Secret {
    // A fleet is large, and is nearly always asked for by name or whole ARN.
    const own = byName.get(secretId) ?? byName.get(secretId.replace(/^arn:.*:secret:(.*)-.{6}$/, '$1'));
    const isOwn = own !== undefined && (own.name === secretId || own.arn === secretId);
    if (isOwn && !own.deleted) return own;
    buryExpired();
    if (isOwn && byName.get(own.name) === own) return own;
    for (const secret of byName.values()) {
      if (secret.arn === secretId || secret.arn.slice(0, -7) === secretId) return secret;
    }
    throw notFound();
  }

  return {
    find,
    /** As `find`, and refuses a secret that waits for its deletion. */
    findActive(secretId: string): Secret {
      const secret = find(secretId);
      if (secret.deleted) {
        throw invalidRequest(
          "You can't perform this operation on the secret because it was marked for deletion.",
        );
      }
      return secret;
    },
    named(name: string): Secret | undefined {
      buryExpired();
      return byName.get(name);
    },
    add(arn: string, name: string): Secret {
      const secret: Secret = {
        arn,
        name,
        created: now(),
        description: undefined,
        kmsKeyId: undefined,
        tags: new Map(),
        versions: new Map(),
        labels: new Map(),
        lastChanged: now(),
        lastAccessed: undefined,
        deleted: undefined,
        policy: undefined,
        rotation: undefined,
      };
      byName.set(name, secret);
      return secret;
    },
    remove(secret: Secret) {
      byName.delete(secret.name);
    },
    all(): readonly Secret[] {
      buryExpired();
      return [...byName.values()];
    },
  };
}

const LARGEST_VALUE = 65_536;

/** The one value of a request, or none; a request with both is refused. */
export function requestedValue(request: {
  SecretString?: string | undefined;
  SecretBinary?: string | undefined;
}): Value | undefined {
  const { SecretString, SecretBinary } = request;
  const fail = (code: ErrorCode, message: string) => new SecretsManagerError(code, message);
  if (SecretString !== undefined && SecretBinary !== undefined) {
    throw fail(
      'InvalidParameterException',
      "You can't specify both a binary secret value and a string secret value in the same secret.",
    );
  }
  const bytes = Buffer.byteLength(
    SecretString ?? SecretBinary ?? '',
    SecretBinary === undefined ? 'utf8' : 'base64',
  );
  if (bytes > LARGEST_VALUE) {
    throw fail(
      'ValidationException',
      `1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to ${LARGEST_VALUE}`,
    );
  }
  if (SecretString !== undefined) return { SecretString };
  return SecretBinary === undefined ? undefined : { SecretBinary };
}

export function sameValue(one: Value | undefined, other: Value | undefined): boolean {
  return one?.SecretString === other?.SecretString && one?.SecretBinary === other?.SecretBinary;
}

const KEPT_DEPRECATED = 100;
const A_DAY = 24 * 3_600_000;

/** Versions without a label are deprecated: past 100 of them the oldest go, those younger than a day aside. */
export function prune(secret: Secret, now: Date): void {
  const deprecated = [...secret.versions.values()]
    .filter(({ id }) => (secret.labels.get(id)?.length ?? 0) === 0)
    .sort((one, other) => one.created.getTime() - other.created.getTime());
  for (const { id, created } of deprecated.slice(0, Math.max(0, deprecated.length - KEPT_DEPRECATED))) {
    if (now.getTime() - created.getTime() < A_DAY) break;
    secret.versions.delete(id);
    secret.labels = new Map([...secret.labels].filter(([version]) => version !== id));
  }
}

/** VersionIdsToStages: labelled versions only. */
export function versionIdsToStages(secret: Secret): Record<string, readonly string[]> | undefined {
  const labelled = [...secret.labels].filter(([, labels]) => labels.length > 0);
  return labelled.length > 0 ? Object.fromEntries(labelled) : undefined;
}

/** Every version with its labels, oldest first. */
export const versionsOf = (secret: Secret) =>
  [...secret.versions.values()].map((version) => ({ version, labels: secret.labels.get(version.id) ?? [] }));
