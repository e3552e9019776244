import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { listFleet } from '../../shared/fleet/secrets.ts';
import { scheduledGraceEnds } from '../../shared/grace/schedule.ts';
import type { Vault } from '../../shared/vault/client.ts';
import type { Deployment } from '../deployment.ts';
import { operatorsVault } from '../operators-vault.ts';
import { type Known, known } from './known.ts';
import { mirrorsOf } from './mirrors.ts';
import type { FleetFacts } from './rows.ts';
import { fleetState } from './state.ts';
import { staticFields } from './static-fields.ts';

export interface FleetReaders {
  readonly secretsManager: SecretsManagerClient;
  readonly dynamo: DynamoDBClient;
  readonly stateTable: string;
  readonly scheduler: SchedulerClient;
  readonly scheduleGroup: string;
  readonly vault: Known<Pick<Vault, 'readMetadata'>>;
  readonly withFields: boolean;
}

export async function fleetReaders(
  { aws, output }: Deployment,
  { withFields }: { readonly withFields: boolean },
): Promise<FleetReaders> {
  return {
    secretsManager: new SecretsManagerClient(aws),
    dynamo: new DynamoDBClient(aws),
    stateTable: output('StateTableName'),
    scheduler: new SchedulerClient(aws),
    scheduleGroup: output('GraceScheduleGroupName'),
    vault: await operatorsVault(),
    withFields,
  };
}

/** Reads it all at once. Of the parts, only the list of secrets is indispensable. */
export async function readFleet(
  readers: FleetReaders,
  agents: readonly string[],
  now: Date,
): Promise<FleetFacts> {
  const { secretsManager, dynamo, stateTable, scheduler, scheduleGroup, vault, withFields } = readers;
  const listing = listFleet(secretsManager, { agents });
  const [secrets, state, grace, mirrors, fields] = await Promise.all([
    listing,
    known(fleetState(dynamo, stateTable, () => now)),
    known(scheduledGraceEnds(scheduler, scheduleGroup)),
    'fact' in vault
      ? listing.then((found) => known(mirrorsOf(found, vault.fact)))
      : Promise.resolve({ unknown: vault.unknown }),
    withFields
      ? listing.then((found) =>
          known(
            staticFields(
              secretsManager,
              found.map(({ arn }) => arn),
            ),
          ),
        )
      : Promise.resolve({ unknown: 'values were not read: say --fields' }),
  ]);
  return { secrets, state, grace, mirrors, staticFields: fields };
}
