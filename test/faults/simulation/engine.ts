import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import { eventOf } from './aws-doubles.ts';
import type { Line } from './line.ts';
import type { Login } from './oracle.ts';
import { runRotationStep } from './rotations.ts';
import { uuidOf } from './substitutes.ts';
import { thorough } from './thorough.ts';
import type { World } from './world.ts';

/** Secrets Manager itself: it calls the rotation function, and says on the default bus which label moved. */
export function engineOf(world: () => World): Engine {
  const engine = createEngine({
    accountId: '123456789012',
    region: 'eu-central-1',
    now: () => new Date(world().time.now()),
    newArn: (name) => `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${name}-AbCdEf`,
    attempts: 3,
    retryDelayMs: 30_000,
    wait: (ms) => world().time.sleep(ms),
    invoke: (_, event) => runRotationStep(world(), event),
    async onLabelMoved({ arn, name, label, from, to }) {
      const { lines, oracle, counts, trace } = world();
      const line = lines.get(arn);
      if (line && label === 'AWSPENDING' && from !== to) counts.overtaken += oracle.begun(line);
      if (!line || label !== 'AWSCURRENT') return;
      const { VersionIdsToStages = {} } = await engine.DescribeSecret({ SecretId: arn });
      const left = from === undefined ? undefined : await loginOf(engine, arn, from);
      oracle.moved(line, await loginOf(engine, arn, to), left);
      const next = Object.keys(VersionIdsToStages).find(
        (id) => id !== to && VersionIdsToStages[id]?.includes('AWSPENDING'),
      );
      // It was abandoned while its last step ran, and the next one begun.
      if (next !== undefined) {
        line.undercut.add(next);
        counts.overtaken += oracle.begun(line);
      }
      if (from !== undefined) line.rotations += 1;
      trace?.(`${line.index}/AWSCURRENT moved from ${from} to ${to}`);
      tell(world(), line, { name, versionId: to });
    },
  });
  return engine;
}

/** Three rules match; EventBridge dates an event by the second. */
function tell(world: World, line: Line, { name, versionId }: { name: string; versionId: string }): void {
  const event = eventOf(
    world,
    uuidOf(line.random),
    {
      'detail-type': 'Secret Label Updated',
      source: 'aws.secretsmanager',
      resources: [line.arn],
      detail: { name, labelUpdated: 'AWSCURRENT', versionId },
    },
    Math.floor(world.time.now() / 1_000) * 1_000,
  );
  const { announce, invalidate, mirror } = world.subscribers;
  const watchedOf = () => line;
  for (const subscriber of [
    thorough(world.oracle, 'announced', watchedOf, announce),
    thorough(world.oracle, 'published', watchedOf, invalidate),
    thorough(world.oracle, 'mirrored', watchedOf, mirror),
  ])
    world.deliveries.send(subscriber, event, line.random);
}

async function loginOf(engine: Engine, arn: string, versionId: string): Promise<Login> {
  const { SecretString = '{}' } = await engine.GetSecretValue({ SecretId: arn, VersionId: versionId });
  const { username, password } = JSON.parse(SecretString);
  return { versionId, username: String(username), password: String(password) };
}
