import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, paginateScan } from '@aws-sdk/lib-dynamodb';
import * as z from 'zod';
import { adoptionPrefix, type KeptAdoption, keptAdoption } from '../../shared/state/adoptions.ts';

export interface BackendHealth {
  readonly backend: string;
  readonly state: 'healthy' | 'degraded' | 'unhealthy';
  readonly since?: string;
  readonly reason?: string;
  /** When it was last probed. */
  readonly probedAt?: string;
}
/** One kind of finding, open for some secrets. */
export interface OpenFinding {
  readonly kind: string;
  readonly since?: string;
  /** Digests of the secrets' ARNs (`digest` in open-findings.ts). */
  readonly open: readonly string[];
}
export interface FailingRotation {
  readonly secretArn: string;
  readonly rotationId: string;
  readonly since: string;
  readonly failedAt: string;
}

/** All that the state table knows. */
export interface FleetState {
  readonly backends: readonly BackendHealth[];
  readonly findings: readonly OpenFinding[];
  readonly failing: readonly FailingRotation[];
  readonly adoptions: readonly KeptAdoption[];
}

const problem = z.object({ severity: z.string(), reason: z.string() });
const health = z.object({
  state: z.object({
    health: z.object({
      state: z.enum(['healthy', 'degraded', 'unhealthy']),
      since: z.string().optional(),
      recent: z.array(z.object({ at: z.string(), problem: problem.optional() })),
    }),
  }),
});
const findings = z.object({ state: z.object({ open: z.array(z.string()), since: z.string().optional() }) });
const rotation = z.object({
  state: z.object({
    failure: z.object({ rotationId: z.string(), since: z.string(), failedAt: z.string() }).optional(),
  }),
});
const adoption = keptAdoption.extend({ expiresAt: z.number() });

/**
 * Reads the whole table: a call for each megabyte, which is cheaper than one for each secret as soon as there are a few.
 * A record in a shape that isn't known is passed over, for it may be of a newer deployment.
 */
export async function fleetState(
  dynamo: DynamoDBClient,
  table: string,
  now: () => Date,
): Promise<FleetState> {
  const client = DynamoDBDocumentClient.from(dynamo);
  const backends: BackendHealth[] = [];
  const open: OpenFinding[] = [];
  const failing: FailingRotation[] = [];
  const adoptions: KeptAdoption[] = [];
  for await (const { Items = [] } of paginateScan({ client }, { TableName: table })) {
    for (const item of Items) {
      const [kind, key] = keyOf(item.id);
      if (kind === 'health') {
        const { data } = health.safeParse(item);
        if (data) backends.push(backendOf(key, data.state.health));
      } else if (kind === 'findings') {
        const { data } = findings.safeParse(item);
        if (data && data.state.open.length > 0)
          open.push({ kind: key, open: data.state.open, ...sinceOf(data.state) });
      } else if (kind === 'rotation') {
        const failure = rotation.safeParse(item).data?.state.failure;
        if (failure) failing.push({ secretArn: key, ...failure });
      } else if (`${kind}#` === adoptionPrefix) {
        const { data } = adoption.safeParse(item);
        // DynamoDB takes what ran out away within days, not at once.
        if (data && data.expiresAt * 1_000 > now().getTime()) adoptions.push(data);
      }
    }
  }
  return { backends: backends.sort(byBackend), findings: open, failing, adoptions };
}

function keyOf(id: unknown): readonly [string, string] {
  const text = typeof id === 'string' ? id : '';
  const at = text.indexOf('#');
  return at < 0 ? ['', ''] : [text.slice(0, at), text.slice(at + 1)];
}

function backendOf(
  backend: string,
  { state, since, recent }: z.output<typeof health>['state']['health'],
): BackendHealth {
  const latest = recent.findLast((probe) => probe.problem !== undefined)?.problem;
  const probedAt = recent.at(-1)?.at;
  return {
    backend,
    state,
    ...(since !== undefined && { since }),
    ...(state !== 'healthy' && latest && { reason: latest.reason }),
    ...(probedAt !== undefined && { probedAt }),
  };
}

const sinceOf = ({ since }: { since?: string | undefined }) => (since === undefined ? {} : { since });

const byBackend = (one: BackendHealth, other: BackendHealth) => (one.backend < other.backend ? -1 : 1);
