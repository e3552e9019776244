import type { FleetSecret } from '../fleet/secrets.ts';
import { knownGraceEnd, supersededSince } from '../grace/grace.ts';
import { incompleteVersion, versionWith } from '../labels/stages.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
/** Secrets Manager may begin a rotation late in its window, and dates lag behind. */
const overdueAfterMs = hourMs;
/** Four steps of at most 30 s each, and Secrets Manager's own attempts at them. */
export const stuckAfterMs = 15 * minuteMs;
/** Whoever makes a secret turns its rotation on a moment later. */
const newForMs = hourMs;
/** The event that makes a schedule may take a while, and so may the list. */
const announcedWithinMs = 15 * minuteMs;

/** When its rotation was due at the latest, where that is past and no rotation has begun. */
export function overdueSince(secret: FleetSecret, now: Date): Date | undefined {
  const { rotationEnabled, nextRotationAt, lastRotatedAt, createdAt, everyDays } = secret;
  if (!rotationEnabled || incompleteVersion(secret) !== undefined) return undefined;
  if (versionWith('AWSCURRENT', secret) === undefined) return undefined;
  const last = lastRotatedAt ?? createdAt;
  const byRule = last && everyDays !== undefined ? endOfDay(last.getTime() + everyDays * dayMs) : undefined;
  const due = nextRotationAt ?? byRule;
  return due && now.getTime() > due.getTime() + overdueAfterMs ? due : undefined;
}

/** How long before its end a window may have opened: as its rule says, else a day at most, and half of a short interval. */
export function windowMs({
  everyDays,
  schedule,
  duration,
}: Pick<FleetSecret, 'everyDays' | 'schedule' | 'duration'>): number {
  const open = /^(\d+)h$/.exec(duration ?? '')?.[1];
  if (open !== undefined) return Number(open) * hourMs;
  const hours = /^rate\((\d+) hours?\)$/.exec(schedule ?? '')?.[1];
  const intervalMs = hours === undefined ? (everyDays ?? 2) * dayMs : Number(hours) * hourMs;
  return Math.min(dayMs, intervalMs / 2);
}

/** Whether nobody rotates it. */
export function isRotationOff({ rotationEnabled, createdAt }: FleetSecret, now: Date): boolean {
  return !rotationEnabled && now.getTime() > (createdAt?.getTime() ?? 0) + newForMs;
}

export type Grace =
  | { readonly kind: 'running'; readonly supersededVersionId: string; readonly currentVersionId: string }
  | { readonly kind: 'over'; readonly supersededVersionId: string; readonly currentVersionId: string }
  /** The tag says no period, so no end could be scheduled. */
  | { readonly kind: 'unreadable'; readonly tag: string };

/** How the grace period of what the latest rotation superseded stands, as far as labels and dates tell. */
export function graceOf(secret: FleetSecret, now: Date): Grace | undefined {
  const since = supersededSince(secret);
  const supersededVersionId = versionWith('AWSPREVIOUS', secret);
  const currentVersionId = versionWith('AWSCURRENT', secret);
  if (!since || supersededVersionId === undefined || currentVersionId === undefined) return undefined;
  // Just now: the event that schedules its end is on its way.
  if (now.getTime() < since.getTime() + announcedWithinMs) return undefined;
  const end = knownGraceEnd(since, secret.tags);
  if ('unreadableTag' in end) return { kind: 'unreadable', tag: end.unreadableTag };
  return { kind: now < end.endsAt ? 'running' : 'over', supersededVersionId, currentVersionId };
}

function endOfDay(ms: number): Date {
  return new Date((Math.floor(ms / dayMs) + 1) * dayMs);
}
