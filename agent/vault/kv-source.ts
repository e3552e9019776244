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

/**
 * Reads secrets from a KV v2 mount. A mirror's version is the one in Secrets Manager that it is stamped with, as long as the
 * stamp is of the data that was read; any other key's is its number in KV. Needs `read` on `{mount}/data/{path}`.
 */
export function kvSource(tokens: Pick<TokenKeeper, 'request'>, mount: string): SecretSource {
  return {
    async fetch(path, { versionId } = {}) {
      const number = versionId !== undefined && /^\d+$/.test(versionId) ? `?version=${versionId}` : '';
      const key = path.split('/').map(encodeURIComponent).join('/');
      const read = answer.safeParse(await tokens.request('GET', `${mount}/data/${key}${number}`));
      if (!read.success) throw new SourceUnreachableError(`Vault answered in an unknown shape for ${path}`);
      const { data, metadata } = read.data.data;
      if (!data) throw new SecretNotFoundError(`${path} was deleted`);
      const { keyturn_version_id: stamp, keyturn_kv_version: stamped } = metadata.custom_metadata ?? {};
      const found =
        stamp !== undefined && stamped === String(metadata.version) ? stamp : String(metadata.version);
      if (versionId !== undefined && versionId !== found && versionId !== String(metadata.version)) {
        throw new SecretNotFoundError(`${path} has no version ${versionId}`);
      }
      const text = JSON.stringify(data);
      return Object.freeze({
        versionId: found,
        createdAt: Date.parse(metadata.created_time),
        // KV knows no labels: what is read without a number is what is in force.
        stages: Object.freeze(number === '' ? ['AWSCURRENT'] : []),
        fields: fieldsOf(text),
        value: SecretValue.of(text),
      });
    },
  };
}
