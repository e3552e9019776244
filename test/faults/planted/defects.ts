import type { SourceChange } from '../bundle.ts';

/** A defect that somebody could write, or has written elsewhere. The proof must see each. */
export interface Defect {
  readonly name: string;
  readonly change: SourceChange;
}

const defect = (name: string, file: string, find: string, replace: string): Defect => ({
  name,
  change: { file, find, replace },
});

export const defects: readonly Defect[] = [
  defect(
    'the user is created in one transaction, and granted in the next',
    'shared/rotators/postgres/apply-dual-user.ts',
    'await connection.query(`GRANT ${identifier(group)} TO',
    "await connection.query('COMMIT'); await connection.query('BEGIN'); await connection.query(`GRANT ${identifier(group)} TO",
  ),
  defect(
    'the twin works in its own role instead of the group',
    'shared/rotators/postgres/apply-dual-user.ts',
    'await connection.query(`ALTER ROLE ${name} SET role = ${literal(group)}`);',
    '',
  ),
  defect(
    "the twin's sessions are without its sibling's settings",
    'shared/rotators/postgres/apply-dual-user.ts',
    '        await copySettings(connection, current.username, pending.username);\n',
    '',
  ),
  defect(
    'the current login gets the new password',
    'shared/rotators/postgres/apply-dual-user.ts',
    'await setTwin(connection, role, pending, group);',
    'await setTwin(connection, role, { ...pending, username: current.username }, group);',
  ),
  defect(
    'the new password reaches Secrets Manager and not the target',
    'shared/rotation/set-secret.ts',
    'await rotatorOf(entry.engine).apply({',
    'if (entry) continue;\n    await rotatorOf(entry.engine).apply({',
  ),
  defect(
    'no fallback to earlier passwords',
    'shared/rotators/postgres/apply-single-user.ts',
    'for (const login of [...(await earlier()), pending]) {',
    'for (const login of [pending]) {',
  ),
  defect(
    'the fallback knows AWSPREVIOUS only, not what abandoned rotations left',
    'shared/rotation/set-secret.ts',
    'await newestVersionIds(secretsManager, secretArn, earlierVersions)',
    'await newestVersionIds(secretsManager, secretArn, 0)',
  ),
  defect(
    'PutSecretValue without stages',
    'shared/secrets-manager/versions.ts',
    "          VersionStages: ['AWSPENDING'],\n",
    '',
  ),
  defect(
    'a value that was put already is not looked for, and a conflict fails',
    'shared/secrets-manager/versions.ts',
    "if (error instanceof ResourceExistsException) return 'exists';",
    '',
  ),
  defect(
    'AWSCURRENT is moved without naming the version that it leaves',
    'shared/secrets-manager/versions.ts',
    '        RemoveFromVersionId: from,\n',
    '',
  ),
  defect(
    'AWSCURRENT moves before the target knows the password',
    'shared/rotation/create-secret.ts',
    "return { secret, created: outcome === 'put' };",
    "await (await import('./finish-secret.ts')).finishSecret(rotation, { secretsManager, pause: async () => undefined });\n  return { secret, created: outcome === 'put' };",
  ),
  defect(
    'revoked as soon as it is superseded',
    'functions/revoke-superseded/superseded.ts',
    'return now.getTime() + (isAskedFor ? clockToleranceMs : 0) < graceBegan + graceMs;',
    'return Number.isNaN(graceBegan);',
  ),
  defect(
    'the grace period is scheduled to end at once, and nobody checks',
    'shared/labels/tags.ts',
    "const text = tags['keyturn:grace'];",
    "const text: string | undefined = tags['keyturn:grace'] && '0s';",
  ),
  defect(
    'grace is counted from when the version was made',
    'shared/labels/change.ts',
    'const since = noted ? lastRotatedAt : (lastChangedAt ?? createdAt);',
    'const since = noted ? lastRotatedAt : createdAt;',
  ),
  defect(
    'nothing is ever revoked',
    'functions/revoke-superseded/revoke-superseded.ts',
    "if (!isManaged(tags)) return ignored('not managed');",
    "if (tags) return ignored('not managed');",
  ),
  defect(
    'revocation leaves the login able to log in',
    'shared/rotators/postgres/revoke.ts',
    'await connection.query(`ALTER ROLE ${identifier(name)} NOLOGIN PASSWORD NULL`);',
    '',
  ),
  defect(
    'an adopted login whose own revocation was missed stays for ever',
    'shared/rotators/postgres/revoke.ts',
    "return isOurs && (await refuse(connection, group, revocation)) === 'revoked';",
    'return !isOurs;',
  ),
  defect(
    'the target is not asked whose version a login holds, nor the labels what is kept',
    'shared/rotators/postgres/revoke.ts',
    'const role = await roleOf(connection, name);\n    if (!role)',
    'const found = await roleOf(connection, name);\n    const role = found && { ...found, versionId: undefined };\n    await connection.query(`ALTER ROLE ${identifier(revocation.kept[0]?.username ?? name)} NOLOGIN PASSWORD NULL`);\n      if (!role)',
  ),
  defect(
    'a cache without the version floor',
    'agent/version-floor.ts',
    '  return !top || version.versionId === top.versionId',
    '  return version.createdAt > 0 || !top || version.versionId === top.versionId',
  ),
  defect(
    'a cache that never expires',
    'agent/secret-cache.ts',
    'if (ageMs >= entry.ttlMs || !reaches(entry.version, entry.track.floors)) return undefined;',
    '',
  ),
  defect(
    'last known good without a hard bound',
    'agent/secret-cache.ts',
    'if (entry && this.#now() - entry.readAt > this.#staleMs) this.#entries.delete(secretId);\n    else if',
    'if',
  ),
  defect(
    'what is not known to be newer is served after a failure',
    'agent/secret-cache.ts',
    'if (reaches(current, track.floors)) return this.#keep(secretId, current, readAt);',
    'if (current) return this.#keep(secretId, current, readAt);',
  ),
  defect(
    // Two guards stand in the way, against what is mirrored and against the event: both ask this.
    'a mirror that takes an older read for newer',
    'shared/vault/examine-mirror.ts',
    "return labels.includes('AWSPREVIOUS') || labels.length === 0;",
    'return labels.length >= 0;',
  ),
  defect(
    'a mirror that is written once',
    'functions/sync-vault-mirror/sync-record.ts',
    "if (event.detail.labelUpdated !== 'AWSCURRENT') return;",
    "if (event.detail.labelUpdated === 'AWSCURRENT') return;",
  ),
  defect(
    'an alert for each failure',
    'functions/alert-rotation-failure/episode.ts',
    '  if (!failure) {\n',
    '  if (!failure || failure.failedAt < failedAt) {\n',
  ),
  defect(
    'an episode that never ends',
    'functions/alert-rotation-failure/episode.ts',
    'return success.rotationId === failure.rotationId || second(success.rotatedAt) >= second(failure.failedAt);',
    'return success.rotationId === failure.failedAt;',
  ),
  defect(
    'an alert that is taken out before it is sent',
    'shared/state/outbox.ts',
    'await send(alert, signal);',
    'await send(alert, signal).catch(() => undefined);',
  ),
  defect(
    'an event whose version is not seen yet is dropped',
    'shared/labels/moved.ts',
    "if (change.kind === 'unseen') throw new LabelNotSeenError();",
    "if (change.kind === 'unseen') return { outcome: 'ignored', reason: 'stale' };",
  ),
  defect(
    'a rotation is announced before AWSCURRENT moves',
    'functions/rotate-secret/rotate-secret.ts',
    '      return finishSecret(rotation, dependencies);',
    "      await announce(dependencies, async () => (await import('../../events/secret-rotated/event.ts')).secretRotated.of({ ...identified(await describeSecret(dependencies.secretsManager, rotation.secretArn)), rotationId: rotation.token, currentVersionId: rotation.token, rotatedAt: dependencies.now().toISOString() }));\n      return finishSecret(rotation, dependencies);",
  ),
  defect(
    'a rotation renews the twin of what a lagging read shows as AWSCURRENT',
    'shared/rotation/create-secret.ts',
    '{ versionId: currentVersionIdOf(secret) }',
    "{ stage: 'AWSCURRENT' }",
  ),
  defect(
    "a revocation that comes a rotation late ends the next version's grace",
    'functions/revoke-superseded/superseded.ts',
    "const spared = inGrace ? labelled('AWSPREVIOUS') : [];",
    'const spared: string[] = inGrace ? [] : [];',
  ),
  defect(
    'a login does not say whose version it holds',
    'shared/rotators/postgres/apply-dual-user.ts',
    '        await markRole(connection, pending.username, version);\n',
    '',
  ),
  defect(
    'a mirror takes an event whose version it does not see',
    'shared/vault/mirror.ts',
    "if (!isOld) throw new StaleReadError('What was read is older than the event');",
    '',
  ),
  defect(
    'a mirror is removed before it is written anew',
    'shared/vault/examine-mirror.ts',
    '  await writeStamp(await vault.writeData(path, current.value, key?.currentVersion ?? 0));',
    '  if (key) await vault.remove(path);\n  if (key) await vault.writeCustomMetadata(path, claimed(custom, secretArn));\n  await writeStamp(await vault.writeData(path, current.value, 0));',
  ),
  defect(
    'the reconciler promotes what nobody has tested',
    'functions/reconcile-fleet/rotation-stuck.ts',
    'for (const step of steps) {',
    "for (const step of ['createSecret', 'finishSecret'] as const) {",
  ),
  defect(
    'a stuck rotation is left to itself',
    'shared/reconciliation/suspicions.ts',
    'export const stuckAfterMs = 15 * minuteMs;',
    'export const stuckAfterMs = 15_000 * minuteMs;',
  ),
  defect(
    'a revocation that failed is never looked for',
    'functions/reconcile-fleet/superseded-still-valid.ts',
    "graceOf(secret, now())?.kind === 'over'),",
    "graceOf(secret, now())?.kind === 'unreadable'),",
  ),
  defect(
    'an alert for each failed probe of a backend',
    'shared/health/episode.ts',
    '    if (failed.length > 0 || recent.length < rule.window)\n      return { health: { state: before.state, recent, since } };',
    "    if (probe.problem)\n      return { health: { state: before.state, recent, since }, alert: { kind: 'opened', since, at: probe.at, problem: probe.problem } };\n    if (failed.length > 0 || recent.length < rule.window)\n      return { health: { state: before.state, recent, since } };",
  ),
  defect(
    'a function that died keeps its locks for hours',
    'shared/rotators/postgres/connection.ts',
    '    idle_in_transaction_session_timeout: idleTransactionMs,\n',
    '',
  ),
  defect(
    'connections stay open',
    'shared/rotators/postgres/connection.ts',
    '} finally {\n    await client.end().catch(() => undefined);',
    '} finally {',
  ),
  defect(
    'the secret is logged',
    'functions/rotate-secret/rotate-secret.ts',
    "log.info('Step done', { step, secretArn, rotationId: token });",
    "log.info('Step done', { step, secretArn, rotationId: token, seen: (await dependencies.secretsManager.send(new (await import('@aws-sdk/client-secrets-manager')).GetSecretValueCommand({ SecretId: secretArn }))).SecretString ?? '' });",
  ),
];
