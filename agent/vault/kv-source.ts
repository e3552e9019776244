import { z } from 'zod';
import { SecretValue } from '../../shared/credential/secret-value.ts';
import { SecretNotFoundError, SourceUnreachableError } from '../errors.ts';
import { fieldsOf, type SecretSource } from '../secret-version.ts';
import type { TokenKeeper } from './token.ts';

const answer = z.object({
  data: z.object({
    data: z.record(z.string(), z.unknown()).nullable(),
    metadata: z.object({
      version: z.number(),
      created_time: z.string(),
      custom_metadata: z.record(z.string(), z.string()).nullish(),
    }),
  }),
});

/** As the version floor has it: times come in whole seconds, so what was made a second later is surely newer. */
const GRAIN_MS = 1_000;

/**
 * Reads secrets from a KV v2 mount. A mirror's version is the one in Secrets Manager that it is stamped with, as long as the
 * stamp is of the data that was read; any other key's is its number in KV. Needs `read` on `{mount}/data/{path}`.
 *
 * A mirror's data is written before its stamp. Whoever reads it in between holds it by its number, to which the version of the
 * stamp is another one, so until then the data counts as older by as much as the stamped must be newer.
 */
export function kvSource(tokens: Pick<TokenKeeper, 'request'>, mount: string): SecretSource {
  return {
    async fetch(path, { versionId } = {}) {
      const number = versionId !== undefined && /^\d+$/.test(versionId) ? `?version=${versionId}` : '';
      const key = path.split('/').map(encodeURIComponent).join('/');
      const read = answer.safeParse(
        await tokens.request('GET', `${mount}/data/${key}${number}`, { repeatable: true }),
      );
      if (!read.success) throw new SourceUnreachableError(`Vault answered in an unknown shape for ${path}`);
      const { data, metadata } = read.data.data;
      if (!data) throw new SecretNotFoundError(`${path} was deleted`);
      const custom = metadata.custom_metadata ?? {};
      const { keyturn_version_id: stamp, keyturn_kv_version: stamped } = custom;
      const isStamped = stamp !== undefined && stamped === String(metadata.version);
      const isLate = !isStamped && (stamp !== undefined || custom.keyturn_secret !== undefined);
      const found = isStamped ? stamp : String(metadata.version);
      if (versionId !== undefined && versionId !== found && versionId !== String(metadata.version)) {
        throw new SecretNotFoundError(`${path} has no version ${versionId}`);
      }
      const text = JSON.stringify(data);
      return Object.freeze({
        versionId: found,
        createdAt: Date.parse(metadata.created_time) - (isLate ? GRAIN_MS : 0),
        // KV knows no labels: what is read without a number is what is in force.
        stages: Object.freeze(number === '' ? ['AWSCURRENT'] : []),
        fields: fieldsOf(text),
        value: SecretValue.of(text),
      });
    },
  };
}
