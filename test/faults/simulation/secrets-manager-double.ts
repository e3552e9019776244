import {
  DecryptionFailure,
  EncryptionFailure,
  InternalServiceError,
  InvalidParameterException,
  InvalidRequestException,
  ResourceExistsException,
  ResourceNotFoundException,
  SecretsManagerClient,
  SecretsManagerServiceException,
} from '@aws-sdk/client-secrets-manager';
import { answered } from '../../../local/secrets-manager/dispatch.ts';
import type { Engine } from '../../../local/secrets-manager/engine.ts';
import { SecretsManagerError } from '../../../local/secrets-manager/errors.ts';
import { currentInvocation, type Invocation, outside, type Surroundings } from './invocation.ts';

type Described = Awaited<ReturnType<Engine['DescribeSecret']>>;
type Listed = Awaited<ReturnType<Engine['ListSecretVersionIds']>>;

/** What reads of a secret showed from a time on. */
interface Snapshot {
  readonly from: number;
  readonly described: Described;
  readonly listed: Listed;
}

const longestStaleMs = 5_000;

/** What the labels of a secret were a moment ago: an eventually consistent read may still show it. */
export class LabelHistory {
  readonly #engine: Engine;
  readonly #now: () => number;
  readonly #history = new Map<string, Snapshot[]>();
  /** ARNs by name: agents ask by it. */
  readonly #arns = new Map<string, string>();

  constructor(engine: Engine, now: () => number) {
    this.#engine = engine;
    this.#now = now;
  }

  /** To be called after each change. */
  async note(secretId: string): Promise<void> {
    const described = await this.#engine.DescribeSecret({ SecretId: secretId });
    const listed = await this.#engine.ListSecretVersionIds({ SecretId: secretId, IncludeDeprecated: true });
    const now = this.#now();
    this.#arns.set(described.Name, described.ARN);
    const known = this.#history.get(described.ARN) ?? [];
    // One that ended before the longest lag is seen by nobody any more.
    const seen = known.filter((_, at) => (known[at + 1]?.from ?? now) >= now - longestStaleMs);
    this.#history.set(described.ARN, [...seen, { from: now, described, listed }]);
  }

  changedWithin(ms: number, secretId: string): boolean {
    return (this.#of(secretId)?.at(-1)?.from ?? 0) > this.#now() - ms;
  }

  at(secretId: string, time: number): Snapshot | undefined {
    return this.#of(secretId)?.findLast(({ from }) => from <= time);
  }

  /** By name or ARN. */
  #of(secretId: string): readonly Snapshot[] | undefined {
    return this.#history.get(this.#arns.get(secretId) ?? secretId);
  }
}

const changing = new Set([
  'PutSecretValue',
  'UpdateSecret',
  'UpdateSecretVersionStage',
  'RotateSecret',
  'CancelRotateSecret',
]);

/** The SDK's own client, whose calls reach the engine without being written as HTTP. */
export function secretsManagerDouble(
  world: Surroundings,
  engine: Engine,
  history: LabelHistory,
  isDenied: () => boolean,
): SecretsManagerClient {
  const client = new SecretsManagerClient({
    region: 'eu-central-1',
    credentials: { accessKeyId: 'simulated', secretAccessKey: 'simulated' },
  });
  const lags = new WeakMap<Invocation, number>();
  /** All that one function reads comes from one replica, which may lag: of what changed just now it shows nothing. */
  const lagOf = (me: Invocation, secretId: string): number => {
    const known = lags.get(me);
    if (known !== undefined) return known;
    if (!history.changedWithin(longestStaleMs, secretId)) return 0;
    const own = me.random.fork('lag');
    // Of the steps of a rotation each reads what the one before it changed: more, and hardly one would end.
    const probability = me.name.includes('rotate-secret') ? 0.03 : 0.2;
    const isLagging = world.faults.strikes('lagging replica', probability, own, me.name);
    const lagMs = isLagging ? own.between(0, longestStaleMs) : 0;
    lags.set(me, lagMs);
    return lagMs;
  };
  return Object.assign(client, {
    async send(command: { constructor: { name: string }; input: Readonly<Record<string, unknown>> }) {
      const operation = command.constructor.name.replace(/Command\d*$/, '');
      const input = given(command.input);
      const me = currentInvocation();
      const reads = !changing.has(operation);
      const strikes =
        reads && me
          ? world.faults.strikes('stale read', 0.03, me.random, `${me.name}/${me.calls + 1}`)
          : false;
      const drawnMs = me?.random.between(0, longestStaleMs) ?? 0;
      const ageMs = strikes ? drawnMs : reads && me ? lagOf(me, String(input.SecretId)) : 0;
      return outside(world, {
        operation: `secretsmanager:${operation}`,
        resends: true,
        refusal: () => refusal(me?.random.chance(0.5) ? 'ThrottlingException' : 'InternalServiceError'),
        loss: () => Object.assign(new Error('no answer'), { name: 'TimeoutError' }),
        effect: async () => {
          const denied = isDenied() && /Value$/.test(operation);
          if (me && (denied || ageMs > 0)) world.troubles.note(me.name);
          if (denied) throw refusal('DecryptionFailure');
          try {
            if (ageMs > 0)
              return await staleAnswer(engine, history, operation, input, world.time.now() - ageMs);
            const answer = await answered(engine, operation, input);
            if (!reads) await history.note(String(input.SecretId));
            return answer;
          } catch (error) {
            throw error instanceof SecretsManagerError ? refusal(error.code) : error;
          }
        },
      });
    },
  });
}

/** The SDK leaves out what is undefined. */
function given(input: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
}

async function staleAnswer(
  engine: Engine,
  history: LabelHistory,
  operation: string,
  input: Readonly<Record<string, unknown>>,
  time: number,
): Promise<unknown> {
  const snapshotOf = (secretId: unknown) => history.at(String(secretId), time);
  const ofValue = async (secretId: unknown, which: Readonly<Record<string, unknown>>) => {
    const snapshot = snapshotOf(secretId);
    if (!snapshot) return answered(engine, 'GetSecretValue', { SecretId: secretId, ...which });
    const stages = snapshot.described.VersionIdsToStages ?? {};
    const stage = which.VersionStage ?? 'AWSCURRENT';
    const id =
      which.VersionId ?? Object.keys(stages).find((version) => stages[version]?.includes(String(stage)));
    if (!snapshot.listed.Versions.some(({ VersionId }) => VersionId === id)) {
      throw new SecretsManagerError('ResourceNotFoundException', 'not seen yet');
    }
    const labels = stages[String(id)] ?? [];
    if (
      which.VersionId !== undefined &&
      which.VersionStage !== undefined &&
      !labels.includes(String(stage))
    ) {
      throw new SecretsManagerError('InvalidRequestException', 'not seen there');
    }
    const value = await engine.GetSecretValue({ SecretId: String(secretId), VersionId: String(id) });
    return { ...value, VersionStages: labels };
  };
  switch (operation) {
    case 'DescribeSecret':
      return snapshotOf(input.SecretId)?.described ?? answered(engine, operation, input);
    case 'ListSecretVersionIds':
      return snapshotOf(input.SecretId)?.listed ?? answered(engine, operation, input);
    case 'GetSecretValue': {
      const { SecretId, ...which } = input;
      return ofValue(SecretId, which);
    }
    case 'BatchGetSecretValue': {
      const ids = Array.isArray(input.SecretIdList) ? input.SecretIdList : [];
      return { SecretValues: await Promise.all(ids.map((id) => ofValue(id, {}))), Errors: [] };
    }
    default:
      return answered(engine, operation, input);
  }
}

const faultOf = { $metadata: {}, message: 'refused by the simulation' };
const known: Readonly<Record<string, () => Error>> = {
  ResourceNotFoundException: () => new ResourceNotFoundException(faultOf),
  ResourceExistsException: () => new ResourceExistsException(faultOf),
  InvalidRequestException: () => new InvalidRequestException(faultOf),
  InvalidParameterException: () => new InvalidParameterException(faultOf),
  InternalServiceError: () => new InternalServiceError(faultOf),
  DecryptionFailure: () => new DecryptionFailure(faultOf),
  EncryptionFailure: () => new EncryptionFailure(faultOf),
};

function refusal(code: string): Error {
  return known[code]?.() ?? new SecretsManagerServiceException({ ...faultOf, name: code, $fault: 'client' });
}
