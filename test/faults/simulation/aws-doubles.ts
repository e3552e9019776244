import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import {
  ConflictException,
  type CreateScheduleCommandInput,
  ListSchedulesCommand,
  SchedulerClient,
} from '@aws-sdk/client-scheduler';
import { SNSClient } from '@aws-sdk/client-sns';
import { type EventBus, eventBus } from '../../../shared/notification/event-bus.ts';
import type { Records } from '../../../shared/state/records.ts';
import { recordsInMemory } from '../../unit/state/in-memory.ts';
import { currentInvocation, outside, type Surroundings } from './invocation.ts';
import { lineOf } from './line.ts';
import { uuidOf } from './substitutes.ts';
import type { World } from './world.ts';

const unanswered = () => Object.assign(new Error('no answer'), { name: 'TimeoutError' });
const throttled = () => Object.assign(new Error('throttled'), { name: 'ThrottlingException' });

/** A call of AWS that the SDK sends again where it got no answer. */
export function asked<T>(
  surroundings: Surroundings,
  operation: string,
  effect: () => T | Promise<T>,
): Promise<T> {
  return outside(surroundings, { operation, effect, refusal: throttled, loss: unanswered, resends: true });
}

/** An alert to on-call. A refusal is counted, so that a report can say that there were some. */
export function alerted(world: World, effect: () => void): Promise<void> {
  const refusal = () => {
    world.counts.alertsRefused += 1;
    return throttled();
  };
  return outside(world, { operation: 'sns:Publish', effect, refusal, loss: unanswered, resends: true });
}

/** An event as the bus hands it on. */
export function eventOf(
  { time }: Surroundings,
  id: string,
  fields: {
    readonly 'detail-type': string;
    readonly source: string;
    readonly resources: readonly string[];
    readonly detail: unknown;
  },
  atMs = time.now(),
) {
  return {
    version: '0',
    id,
    account: '123456789012',
    time: new Date(atMs).toISOString(),
    region: 'eu-central-1',
    ...fields,
  };
}

/** The bus of Keyturn's own events. It may refuse single events, and answers 200 all the same. */
export function busDouble(world: () => World): EventBus {
  const client = Object.assign(new EventBridgeClient({ region: 'eu-central-1' }), {
    send: (command: { input: { Entries?: readonly { DetailType?: string; Detail?: string }[] } }) =>
      asked(world(), 'events:PutEvents', () => {
        const { faults, troubles } = world();
        const me = currentInvocation();
        const own = me?.random.fork(`entries of call ${me.calls}`);
        let refused = 0;
        for (const { DetailType = '', Detail = '{}' } of command.input.Entries ?? []) {
          if (me && own && faults.strikes('event refused', 0.01, own, `${me.name}/${me.calls}`)) {
            troubles.note(me.name);
            refused += 1;
            continue;
          }
          published(world(), DetailType, Detail);
        }
        return { FailedEntryCount: refused };
      }),
  });
  return eventBus(client, 'keyturn');
}

/** alert-rotation-failure is told of rotations that ended. */
function published(world: World, type: string, text: string): void {
  const detail = JSON.parse(text);
  const line = lineOf(world, String(detail.secretArn));
  world.oracle.said(line, text, `the event ${type}`);
  if (/^Secret (Rotated|Changed)$/.test(type))
    world.oracle.told(line, 'announced', String(detail.currentVersionId));
  if (type === 'Finding Opened') world.trace?.(`${line.index}/found ${detail.kind}, ${detail.outcome}`);
  if (type !== 'Rotation Failed' && type !== 'Secret Rotated') return;
  const event = eventOf(world, uuidOf(line.random), {
    'detail-type': type,
    source: 'keyturn',
    resources: [],
    detail,
  });
  world.deliveries.send(world.subscribers.alertFailure, event, line.random);
}

/** The topic of invalidations, with a queue for each instance of an agent. */
export function topicDouble(world: () => World): SNSClient {
  return Object.assign(new SNSClient({ region: 'eu-central-1' }), {
    send: (command: { input: { Message?: string } }) =>
      asked(world(), 'sns:Publish', () => {
        const { oracle, deliveries } = world();
        const { Message = '{}' } = command.input;
        const line = lineOf(world(), String(JSON.parse(Message).secretArn));
        oracle.said(line, Message, 'an invalidation');
        oracle.told(line, 'published', String(JSON.parse(Message).versionId));
        for (const { subscriber } of line.agents) deliveries.send(subscriber, Message, line.random);
        return {};
      }),
  });
}

/** Schedules that run once, and are gone then. All of them call revoke-superseded. */
export function schedulerDouble(world: () => World): SchedulerClient {
  return Object.assign(new SchedulerClient({ region: 'eu-central-1' }), {
    send: (command: { input: CreateScheduleCommandInput }) =>
      asked(world(), 'scheduler', () => {
        const { schedules, time, deliveries, subscribers } = world();
        if (command instanceof ListSchedulesCommand)
          return { Schedules: [...schedules.keys()].map((Name) => ({ Name })) };
        const { Name = '', ScheduleExpression = '', Target } = command.input;
        if (schedules.has(Name))
          throw new ConflictException({ $metadata: {}, message: 'exists', Message: 'exists' });
        const input: unknown = JSON.parse(Target?.Input ?? '{}');
        const at = Date.parse(`${ScheduleExpression.slice('at('.length, -1)}Z`);
        schedules.set(Name, input);
        time.after(at - time.now(), () => {
          schedules.delete(Name);
          const line = lineOf(world(), JSON.parse(Target?.Input ?? '{}').secretArn);
          deliveries.send(subscribers.revoke, input, line.random);
        });
        return {};
      }),
  });
}

/** The state table. Sent again after a lost answer, a conditional write finds its own revision, and refuses. */
export function recordsDouble<State, Alert>(surroundings: Surroundings): Records<State, Alert> {
  const records = recordsInMemory<State, Alert>();
  return {
    read: (key) => asked(surroundings, 'dynamodb:GetItem', () => records.read(key)),
    write: (key, next) => asked(surroundings, 'dynamodb:PutItem', () => records.write(key, next)),
  };
}
