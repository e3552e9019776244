import type { Alert } from '../../shared/health/episode.ts';
import type { AlertMessage } from '../../shared/notification/alert.ts';

/** What on-call reads of a backend whose health changed: what, why, since when, what it affects, and what to do. */
export function alertMessage(
  backend: string,
  { kind, since, at, problem }: Alert,
  runbookUrl: string,
): AlertMessage {
  const state = kind === 'recovered' ? kind : (problem?.severity ?? 'unhealthy');
  return {
    what: kind === 'recovered' ? `${backend} has recovered` : `${backend} is ${state}`,
    ...(problem && { reason: problem.reason }),
    backend,
    state,
    urgency: state === 'recovered' ? 'none' : state === 'degraded' ? 'ticket' : 'page',
    since,
    at,
    affects: state === 'recovered' ? 'nothing any more' : affected(backend),
    runbook: `${runbookUrl}/backend-unhealthy.md`,
  };
}

function affected(backend: string): string {
  if (backend === 'secrets-manager') return 'every rotation, and agents whose cache has expired';
  if (backend === 'vault') return 'mirrors in Vault and the agents that read them';
  return `rotations on ${backend}, and agents that can't reach it either`;
}
