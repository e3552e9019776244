import { DisableRuleCommand, EnableRuleCommand, ListRulesCommand } from '@aws-sdk/client-eventbridge';
import { DeleteScheduleCommand, ListSchedulesCommand } from '@aws-sdk/client-scheduler';
import {
  CancelRotateSecretCommand,
  TagResourceCommand,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { until } from '../until.ts';
import type { Agent } from './provision.ts';
import { currentLogin, labelsOf, mirrorHolds, rotateNow, type Tour } from './tour.ts';
import { letIn, turnAway } from './turned-away.ts';

/** Each makes one thing drift, as a person, a crash or a lost event would. What finds it is the fleet's own business. */

/** The database turns the next login away, so its rotation stops at testSecret; then it lets it in, and nobody rotates again. */
export async function stickRotation(tour: Tour, agent: Agent): Promise<void> {
  const { stack } = tour;
  const { username } = await currentLogin(tour, agent);
  const next = twinOf(username);
  await turnAway(stack.postgres, next);
  await rotateNow(tour, agent);
  await stack.secretsManager.engine.idle();
  await letIn(stack.postgres);
}

/** Somebody lets a login in again that was revoked. */
export async function reviveLogin(tour: Tour, agent: Agent): Promise<void> {
  const { username } = await currentLogin(tour, agent);
  await tour.stack.postgres.query(`ALTER ROLE ${twinOf(username)} LOGIN PASSWORD 'revived by hand'`);
}

const GroupName = 'keyturn-local-grace';

/** The last rotation of each agent has had its revocation: one that is late would undo what is done by hand here. */
export async function everyGraceEnded(tour: Tour): Promise<void> {
  for (const { agent } of tour.fleet) {
    const { versionId } = await currentLogin(tour, agent);
    await until(`${agent.id}: what its last rotation superseded is revoked`, async () =>
      tour.feed.events.some(
        ({ type, detail }) => type === 'Credential Revoked' && detail.currentVersionId === versionId,
      ),
    );
  }
}

/** A rotation whose grace period nothing will end. */
export async function loseGraceSchedule(tour: Tour, agent: Agent): Promise<void> {
  const { clients } = tour;
  await lengthenGrace(tour, agent);
  const token = await rotateNow(tour, agent);
  const Name = await until(`${agent.id}: the end of its grace is scheduled`, async () => {
    const { Schedules = [] } = await clients.scheduler.send(new ListSchedulesCommand({ GroupName }));
    return Schedules.find((schedule) => schedule.Name?.endsWith(token))?.Name;
  });
  await clients.scheduler.send(new DeleteScheduleCommand({ GroupName, Name }));
}

/** Somebody turns a rotation off. */
export async function turnRotationOff({ clients }: Tour, agent: Agent): Promise<void> {
  await clients.secretsManager.send(new CancelRotateSecretCommand({ SecretId: agent.secretArn }));
}

/** Somebody grants what isn't declared. */
export async function grantTooMuch({ stack }: Pick<Tour, 'stack'>, agent: Agent): Promise<void> {
  await stack.postgres.query(`GRANT DELETE ON ${agent.table} TO "${agent.id}"`);
}

/** Somebody writes into a mirror. */
export async function writeIntoMirror({ stack }: Tour, agent: Agent): Promise<void> {
  await stack.openBao.request('POST', `secret/data/${agent.secret}`, { data: { password: 'by hand' } });
}

/** Somebody removes a mirror, its history included. */
export async function removeMirror({ stack }: Tour, agent: Agent): Promise<void> {
  await stack.openBao.request('DELETE', `secret/metadata/${agent.secret}`);
}

/** A mirror is left of a secret that is gone. */
export async function leaveOrphan({ stack }: Tour): Promise<void> {
  const path = 'agents/gone/credentials';
  await stack.openBao.request('POST', `secret/data/${path}`, { data: { password: 'of nobody' } });
  await stack.openBao.request('POST', `secret/metadata/${path}`, {
    custom_metadata: {
      keyturn_secret: `arn:aws:secretsmanager:eu-central-1:000000000000:secret:${path}-a1B2c3`,
      keyturn_version_id: '6f1b8a52-3c7e-4d0a-9a51-2f0c5c1e7b11',
      keyturn_version_created_at: '2026-01-01T00:00:00.000Z',
      keyturn_kv_version: '1',
    },
  });
}

/** The event of a rotation is lost on its way to the mirror. */
export async function loseMirrorEvent(tour: Tour, agent: Agent): Promise<void> {
  await withoutMirrorEvents(tour, async () => {
    const token = await rotateNow(tour, agent);
    await until(`${agent.id}: AWSCURRENT moved`, async () =>
      (await labelsOf(tour, agent))[token]?.includes('AWSCURRENT'),
    );
  });
}

/** Somebody rolls a rotation back within its grace period, and the event of that is lost: Vault is ahead. */
export async function rollBack(tour: Tour, agent: Agent): Promise<void> {
  await lengthenGrace(tour, agent);
  const { versionId: before } = await currentLogin(tour, agent);
  const token = await rotateNow(tour, agent);
  await until(`${agent.id}: its mirror follows`, () => mirrorHolds(tour, agent, token));
  await withoutMirrorEvents(tour, async () => {
    await tour.clients.secretsManager.send(
      new UpdateSecretVersionStageCommand({
        SecretId: agent.secretArn,
        VersionStage: 'AWSCURRENT',
        RemoveFromVersionId: token,
        MoveToVersionId: before,
      }),
    );
  });
}

async function lengthenGrace({ clients }: Tour, { secretArn }: Agent): Promise<void> {
  const Tags = [{ Key: 'keyturn:grace', Value: '2h' }];
  await clients.secretsManager.send(new TagResourceCommand({ SecretId: secretArn, Tags }));
}

async function withoutMirrorEvents({ clients }: Tour, work: () => Promise<void>): Promise<void> {
  const { Rules = [] } = await clients.eventBridge.send(new ListRulesCommand({}));
  const Name = Rules.find((rule) => rule.Name?.includes('MirrorRule'))?.Name;
  if (Name === undefined) throw new Error('There is no rule of mirrors');
  await clients.eventBridge.send(new DisableRuleCommand({ Name }));
  await work();
  await clients.eventBridge.send(new EnableRuleCommand({ Name }));
}

const twinOf = (username: string) => `${username.slice(0, -2)}${username.endsWith('_a') ? '_b' : '_a'}`;
