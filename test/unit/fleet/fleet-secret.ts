import type { FleetSecret } from '../../../shared/fleet/secrets.ts';

/** An agent's secret that rotates each month, with these labels. */
export const fleetSecret = (agentId: string, stages: FleetSecret['stages']): FleetSecret => ({
  arn: `arn:${agentId}`,
  name: `agents/${agentId}/credentials`,
  agentId,
  tags: {},
  stages,
  rotationEnabled: true,
  createdAt: undefined,
  lastRotatedAt: undefined,
  nextRotationAt: undefined,
  everyDays: 30,
  schedule: undefined,
  duration: undefined,
  isScheduledForDeletion: false,
});
