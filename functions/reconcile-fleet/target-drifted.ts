import { createHash } from 'node:crypto';
import { InvalidSecretError } from '../../shared/credential/errors.ts';
import { describeFleetSecret, type FleetSecret } from '../../shared/fleet/secrets.ts';
import type { Change } from '../../shared/provisioning/change.ts';
import { type Declaration, DeclarationError } from '../../shared/provisioning/declaration.ts';
import { planPostgres } from '../../shared/provisioning/postgres.ts';
import { secretNameOf } from '../../shared/provisioning/secret-name.ts';
import type { Finding } from '../../shared/reconciliation/finding.ts';
import { NoCurrentVersionError } from '../../shared/rotation/errors.ts';
import {
  AdminPrivilegeError,
  AlternateTakenError,
  ConfusedDeputyError,
  TargetFailedError,
} from '../../shared/rotators/errors.ts';
import { finding, type Kind, type ReconcileParts } from './kind.ts';

/** A look at one agent's roles costs two values and two logins, so the hourly runs take a day for all. */
const hoursForAll = 24;
/** Differences that an alert names. */
const namedMax = 3;

/** Logins, roles or grants in PostgreSQL differ from what the agent was declared to have. */
export const targetDrifted: Kind = {
  kind: 'target-drifted',
  // All agents are whose turn it is.
  provesSuspects: false,

  async suspects(fleet, { declarations, now }, { isScheduled }) {
    const { known } = await declarations.list();
    const declared = new Set(
      known.flatMap(({ phase, declaration }) =>
        phase === 'declared' && declaration.postgres ? secretNameOf(declaration) : [],
      ),
    );
    const hour = Math.floor(now().getTime() / 3_600_000) % hoursForAll;
    const suspects = fleet.filter(
      ({ name }) => declared.has(name) && (!isScheduled || hourOf(name) === hour),
    );
    // An agent that is declared no longer has no difference either.
    const checked = fleet.filter((secret) => !declared.has(secret.name) || suspects.includes(secret));
    return { suspects, checked: isScheduled ? new Set(checked.map(({ arn }) => arn)) : 'all' };
  },

  /**
   * The plan only reads. Applied, it looks again under the lock that rotation and revocation take, and is one transaction: killed,
   * repeated or beside a rotation it ends at what is declared.
   */
  async settle({ arn }, how, parts) {
    const secret = await describeFleetSecret(parts.secretsManager, arn);
    const declaration = secret && (await declarationOf(secret, parts));
    if (!secret || !declaration) return undefined;
    try {
      const changes = await planPostgres(declaration, parts);
      if (changes.length === 0) return undefined;
      if (how === 'repair') for (const change of changes) await change.apply();
      return finding(this.kind, secret, summary(changes), how === 'repair' ? 'repaired' : 'waiting');
    } catch (error) {
      return refused(this.kind, secret, error);
    }
  },
};

/** What is declared of a secret, as it stands now. An agent that is being deprovisioned is left alone. */
export async function declarationOf(
  { name, agentId }: FleetSecret,
  { declarations }: Pick<ReconcileParts, 'declarations'>,
): Promise<Declaration | undefined> {
  const known = await declarations.read(agentId);
  return known?.phase === 'declared' && secretNameOf(known.declaration) === name
    ? known.declaration
    : undefined;
}

function summary(changes: readonly Change[]): string {
  const lines = changes.flatMap(({ diff }) => diff);
  const more = lines.length > namedMax ? `; and ${lines.length - namedMax} more` : '';
  return `differs from its declaration: ${lines.slice(0, namedMax).join('; ')}${more}`;
}

/** These say in words of ours what only a person can decide; whatever else went wrong may pass. */
function refused(kind: string, secret: FleetSecret, error: unknown): Finding {
  const decides = [
    AdminPrivilegeError,
    AlternateTakenError,
    ConfusedDeputyError,
    DeclarationError,
    InvalidSecretError,
    NoCurrentVersionError,
    TargetFailedError,
  ];
  if (error instanceof Error && decides.some((known) => error instanceof known)) {
    return finding(kind, secret, `can't be made as declared: ${error.message}`, 'needs a person');
  }
  throw error;
}

function hourOf(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE(0) % hoursForAll;
}
