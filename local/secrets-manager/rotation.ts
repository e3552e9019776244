/** Running a rotation: four steps in order, the whole of it tried again where one fails. */
import { CURRENT, carrierOf, detach, PENDING } from './labels.ts';
import { windowAfter } from './schedule.ts';
import type { Secret } from './secrets.ts';

export const STEPS = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const;
export type Step = (typeof STEPS)[number];

/** What a rotation function is invoked with. */
export type RotationEvent = {
  readonly Step: Step;
  readonly SecretId: string;
  readonly ClientRequestToken: string;
};

export type RotationStatus = {
  readonly token: string;
  readonly state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  /** The step that runs, or the last that did. */
  readonly step: Step;
  /** How often the rotation was begun. */
  readonly attempts: number;
  /** Why the last failed attempt failed. */
  readonly error?: unknown;
};

export type RotationOptions = {
  readonly now: () => Date;
  readonly invoke: (functionArn: string, event: RotationEvent) => Promise<void>;
  /** How long the pause between attempts takes; a virtual clock may end it at once. */
  readonly wait: (milliseconds: number) => Promise<void>;
  readonly attempts: number;
  readonly retryDelayMs: number;
  /** AWS documents that AWSPENDING may stay on the version that became AWSCURRENT, or may go. */
  readonly pendingAfterFinish: 'kept' | 'removed';
};

export type Rotations = ReturnType<typeof createRotations>;

export function createRotations(options: RotationOptions) {
  const statuses = new Map<string, RotationStatus>();
  /** The latest rotation of each secret that hasn't ended. */
  const running = new Map<string, { readonly token: string; readonly ended: Promise<void> }>();

  /** Whether this rotation still has something to do: not cancelled, its secret there, its AWSPENDING in place. */
  function wanted(secret: Secret, token: string): boolean {
    if (secret.deleted || !secret.versions.has(token) || !secret.rotation?.enabled) return false;
    return carrierOf(secret.labels, PENDING) === token || carrierOf(secret.labels, CURRENT) === token;
  }

  /** Invokes one step after the other; false where the rotation was cancelled meanwhile. */
  async function attempt(secret: Secret, token: string, attempts: number, steps: readonly Step[]) {
    for (const step of steps) {
      if (!secret.rotation || !wanted(secret, token)) return false;
      statuses.set(secret.arn, { token, state: 'running', step, attempts });
      await options.invoke(secret.rotation.lambdaArn, {
        Step: step,
        SecretId: secret.arn,
        ClientRequestToken: token,
      });
    }
    return true;
  }

  async function rotate(secret: Secret, token: string): Promise<void> {
    const end = (state: RotationStatus['state'], error?: unknown) => {
      const { step = 'createSecret', attempts = 1 } = statuses.get(secret.arn) ?? {};
      statuses.set(secret.arn, { token, state, step, attempts, ...(error !== undefined && { error }) });
    };
    for (let attempts = 1; ; attempts++) {
      try {
        if (!(await attempt(secret, token, attempts, STEPS))) return end('cancelled');
        if (carrierOf(secret.labels, CURRENT) !== token) {
          throw new Error('finishSecret ended without moving AWSCURRENT to the new version');
        }
        succeed(secret, token);
        return end('succeeded');
      } catch (error) {
        end('failed', error);
        if (attempts >= options.attempts) return;
      }
      await options.wait(options.retryDelayMs);
    }
  }

  function succeed(secret: Secret, token: string) {
    if (options.pendingAfterFinish === 'removed') secret.labels = detach(secret.labels, token, PENDING);
    if (!secret.rotation) return;
    secret.rotation.last = options.now();
    if (secret.rotation.enabled) secret.rotation.next = windowAfter(secret.rotation.rules, options.now());
  }

  /** RotateImmediately=false: only testSecret, once; the version it ran on vanishes with its AWSPENDING. */
  async function rehearse(secret: Secret, token: string): Promise<void> {
    const status = { token, step: 'testSecret', attempts: 1 } as const;
    try {
      const ran = await attempt(secret, token, 1, ['testSecret']);
      statuses.set(secret.arn, { ...status, state: ran ? 'succeeded' : 'cancelled' });
    } catch (error) {
      statuses.set(secret.arn, { ...status, state: 'failed', error });
    }
    secret.labels = detach(secret.labels, token, PENDING);
    if (secret.versions.get(token)?.value || secret.labels.get(token)?.length) return;
    secret.versions.delete(token);
    secret.labels = new Map([...secret.labels].filter(([version]) => version !== token));
  }

  function run(secret: Secret, work: (secret: Secret, token: string) => Promise<void>, token: string) {
    const before = running.get(secret.arn);
    if (before?.token === token) return;
    // The caller of RotateSecret has its answer before the first step begins, and the finishSecret of the rotation before may
    // still run: its label has moved, its function has not answered.
    const ended = Promise.resolve(before?.ended)
      .then(() => work(secret, token))
      .finally(() => running.get(secret.arn)?.token === token && running.delete(secret.arn));
    running.set(secret.arn, { token, ended });
  }

  return {
    /** Begins a rotation whose AWSPENDING is in place, after the one before; while it runs already this does nothing. */
    start: (secret: Secret, token: string) => run(secret, rotate, token),
    rehearse: (secret: Secret, token: string) => run(secret, rehearse, token),
    isRunning: (secret: Secret) => running.has(secret.arn),
    /** How the latest rotation of a secret stands; none where it never rotated. */
    statusOf: (arn: string): RotationStatus | undefined => statuses.get(arn),
    /** Waits until no rotation runs, those that begin meanwhile included. */
    async idle(): Promise<void> {
      while (running.size > 0) await Promise.all([...running.values()].map(({ ended }) => ended));
    },
  };
}
