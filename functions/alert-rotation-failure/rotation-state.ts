import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import { type Records, recordsOf } from '../../shared/state/records.ts';
import type { RotationAlert, Rotations } from './episode.ts';

/** An alert as it waits to be sent: with what its message says. */
export interface PendingAlert extends RotationAlert {
  readonly secret: string;
  readonly agentId: string;
  readonly step?: string | undefined;
  readonly errorClass?: string | undefined;
}
export type RotationState = Records<Rotations, PendingAlert>;

const state = z.object({
  failure: z.object({ rotationId: z.string(), since: z.string(), failedAt: z.string() }).optional(),
  success: z.object({ rotationId: z.string(), rotatedAt: z.string() }).optional(),
});
const alert = z.object({
  state: z.enum(['failed', 'recovered']),
  since: z.string(),
  at: z.string(),
  secret: z.string(),
  agentId: z.string(),
  step: z.string().optional(),
  errorClass: z.string().optional(),
});

/** How the rotations of secrets go, under `rotation#{secretArn}`. */
export const rotationState = (dynamo: DynamoDBClient, table: string): RotationState =>
  recordsOf(dynamo, table, { kind: 'rotation', state, alert });
