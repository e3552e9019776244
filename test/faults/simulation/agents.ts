import { receive } from '../../../agent/invalidation.ts';
import { SecretCache } from '../../../agent/secret-cache.ts';
import { secretsManagerSource } from '../../../agent/secrets-manager-source.ts';
import { SecretValue } from '../../../shared/credential/secret-value.ts';
import type { Subscriber } from './deliveries.ts';
import { asAgent } from './invocation.ts';
import type { Line } from './line.ts';
import type { Random } from './random.ts';
import { minute } from './virtual-time.ts';
import type { World } from './world.ts';

export interface AgentInstance {
  readonly cache: SecretCache;
  readonly subscriber: Subscriber;
  readonly random: Random;
  readonly name: string;
  /** The latest version that it showed or was told of, by its place in the order. */
  floor: number;
  /** When a read that showed a version in force last began. */
  readonly confirmed: Map<string, number>;
}

const staleMsOf = ({ graceMs }: Line) => graceMs - 30_000;

/** An agent's process: the deployed cache over Secrets Manager, told of invalidations by a queue. */
export function agentOf(
  { time, secretsManager, oracle }: World,
  line: Line,
  instance: number,
): AgentInstance {
  const name = `${line.index}/agent-${instance}`;
  const own = line.random.fork(name);
  const source = secretsManagerSource(secretsManager);
  const confirmed = new Map<string, number>();
  const cache = new SecretCache(
    {
      async fetch(secretId, which) {
        const beganAt = time.now();
        const version = await source.fetch(secretId, which);
        if (version.stages.includes('AWSCURRENT')) confirmed.set(version.versionId, beganAt);
        return version;
      },
    },
    { now: time.now, wait: time.sleep, random: () => own.next(), staleMs: staleMsOf(line) },
  );
  const agent: AgentInstance = {
    cache,
    random: own,
    name,
    floor: -1,
    confirmed,
    subscriber: {
      name,
      by: 'queue',
      async handle(event) {
        asAgent(name, own, () =>
          receive(String(event), line.agentId, (notice) => {
            cache.notice(notice);
            agent.floor = Math.max(agent.floor, oracle.placeOf(line, notice.versionId));
          }),
        );
      },
    },
  };
  return agent;
}

/** An agent asks for its credential every few minutes. */
export function startAgent(world: World, line: Line, agent: AgentInstance): void {
  const { time } = world;
  const next = () => {
    if (!world.active) return;
    asAgent(agent.name, agent.random, () => void use(world, line, agent));
    time.after(agent.random.between(2 * minute, 14 * minute), next);
  };
  time.after(agent.random.between(0, 5 * minute), next);
}

/** An agent asks for its credential, and logs in with it. */
async function use(world: World, line: Line, agent: AgentInstance): Promise<'served' | 'unavailable'> {
  const { oracle, time, counts } = world;
  counts.agentRequests += 1;
  const least = agent.floor;
  try {
    let version = await agent.cache.get(line.secret);
    const works = () => {
      const { username, password } = version.fields;
      if (!(password instanceof SecretValue)) return false;
      return line.model.worksAs(String(username), password.reveal(), line.group);
    };
    if (!works() && !line.dual) version = await agent.cache.refresh(line.secret);
    const place = oracle.placeOf(line, version.versionId);
    const isOvertaken = line.superseded.some(
      (one) => one.overtaken && one.login.versionId === version.versionId,
    );
    if (line.dual && !isOvertaken && !works()) {
      oracle.violated('what an agent is served works', line.secret, `version ${version.versionId}`);
    }
    if (place < least) {
      oracle.violated(
        "an agent's version never goes back",
        line.secret,
        `${agent.name}: ${place} after ${least}`,
      );
    }
    const confirmed = agent.confirmed.get(version.versionId) ?? Number.NEGATIVE_INFINITY;
    if (time.now() - confirmed > staleMsOf(line)) {
      oracle.violated('last known good never past its bound', line.secret, agent.name);
    }
    agent.floor = Math.max(agent.floor, place);
    return 'served';
  } catch {
    return 'unavailable';
  }
}

/** The version that an agent's cache shows now, or what it failed with. */
export async function shownTo(
  agent: AgentInstance,
  secret: string,
  wait: () => Promise<void>,
): Promise<string> {
  let shown = 'nothing';
  asAgent(agent.name, agent.random, () => {
    agent.cache.get(secret).then(
      ({ versionId }) => {
        shown = versionId;
      },
      (error: unknown) => {
        shown = error instanceof Error ? `${error.name}, ${error.message}` : 'an error';
      },
    );
  });
  await wait();
  return shown;
}
