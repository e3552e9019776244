import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import type { Alert, Health } from '../health/episode.ts';
import { type Records, recordsOf } from './records.ts';

/** `lastRunId`: a run that is repeated probes once. */
export interface ProbedHealth {
  readonly lastRunId: string;
  readonly health: Health;
}
export type HealthState = Records<ProbedHealth, Alert>;

const problem = z.object({ severity: z.enum(['degraded', 'unhealthy']), reason: z.string() });
const state = z.object({
  lastRunId: z.string(),
  health: z.object({
    state: z.enum(['healthy', 'degraded', 'unhealthy']),
    recent: z.array(z.object({ at: z.string(), problem: problem.exactOptional() })).readonly(),
    since: z.string().exactOptional(),
  }),
});
const alert = z.object({
  kind: z.enum(['opened', 'recovered']),
  since: z.string(),
  at: z.string(),
  problem: problem.exactOptional(),
});

/** The health of backends, under `health#{backend}`. */
export const healthState = (dynamo: DynamoDBClient, table: string): HealthState =>
  recordsOf(dynamo, table, { kind: 'health', state, alert });
