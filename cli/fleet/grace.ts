import { paginateListSchedules, type SchedulerClient } from '@aws-sdk/client-scheduler';

/**
 * Of which current versions the grace period of the one before still runs, by the names of its schedules, which end in the
 * version's id: a call for a hundred that run, and none a secret.
 */
export async function runningGrace(
  client: SchedulerClient,
  groupName: string,
): Promise<(versionId: string) => boolean> {
  const names = new Set<string>();
  for await (const { Schedules = [] } of paginateListSchedules(
    { client, pageSize: 100 },
    { GroupName: groupName },
  )) {
    for (const { Name = '' } of Schedules) names.add(Name.slice(Name.indexOf('-') + 1));
  }
  return (versionId) => names.has(versionId);
}
