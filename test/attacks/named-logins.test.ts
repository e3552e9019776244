import { afterAll, beforeAll, expect, it } from 'vitest';
import { revokeSuperseded } from '../../functions/revoke-superseded/revoke-superseded.ts';
import type { SecretJson } from '../../shared/credential/secret-json.ts';
import {
  type Fleet,
  fleetOn,
  hourMs,
  secretsManagerOf,
  unwatched,
} from '../integration/reconciliation/fleet.ts';
import { witness } from '../integration/rotation/in-process.ts';
import { adminOf, asAgent, loginOn, postgresForTests } from '../integration/rotation/setting.ts';

let server: Awaited<ReturnType<typeof postgresForTests>>;
beforeAll(async () => {
  server = await postgresForTests();
});
afterAll(() => server[Symbol.asyncDispose]());

/** What the writer of one agent's secret does to have a login of somebody else refused at the end of a grace period. */
async function superseding(fleet: Fleet, agent: { arn: string }, victim: SecretJson, versionId?: string) {
  const own = await fleet.valueOf({ ...agent, group: '', name: '' });
  const { masterarn = '' } = own.reveal();
  const put = (value: SecretJson, ClientRequestToken?: string) =>
    fleet.engine.PutSecretValue({
      SecretId: agent.arn,
      SecretString: value.serialize().reveal(),
      ...(ClientRequestToken !== undefined && { ClientRequestToken }),
    });
  const { VersionId: supersededVersionId } = await put(victim.with({ masterarn }), versionId);
  fleet.clock.advance(2_000);
  const { VersionId: currentVersionId } = await put(own);
  fleet.clock.advance(2 * hourMs);
  const ended = {
    secretArn: agent.arn,
    supersededVersionId,
    currentVersionId,
    rotationId: currentVersionId,
    graceEndsAt: fleet.clock.now().toISOString(),
  };
  return revokeSuperseded(ended, {
    ...witness().parts,
    now: fleet.clock.now,
    secretsManager: secretsManagerOf(fleet.engine, unwatched),
  });
}

it("who may write an agent's secret has no login of somebody else refused by it", async () => {
  const fleet = fleetOn(server);
  const [attacker, other] = [await fleet.addAgent('attacker'), await fleet.addAgent('other')];
  await fleet.rotate(attacker);
  await fleet.rotate(other);
  await server.query(`CREATE ROLE payroll LOGIN PASSWORD 'of-payroll'`);
  const othersVersion = Object.entries(await fleet.labels(other)).find(([, labels]) =>
    labels.includes('AWSCURRENT'),
  )?.[0];
  const victims: [SecretJson, (string | undefined)?][] = [
    [loginOn(server, 'payroll', 'of-payroll')],
    [adminOf(server)],
    // Version ids are a secret's own, and every login of a server may read whose version a role holds.
    [await fleet.valueOf(other), othersVersion],
  ];
  for (const [victim, versionId] of victims) {
    await expect(superseding(fleet, attacker, victim, versionId)).rejects.toMatchObject({
      name: 'ConfusedDeputyError',
    });
    await asAgent(victim, 'SELECT 1');
  }
});
