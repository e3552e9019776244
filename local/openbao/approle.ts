import * as z from 'zod';
import type { OpenBao } from './server.ts';

const roleAnswer = z.object({ data: z.object({ role_id: z.string() }) });
const secretAnswer = z.object({ data: z.object({ secret_id: z.string() }) });

/** An AppRole that may write, list and remove the agents' mirrors and nothing else; gives what the secret `keyturn/vault/approle` holds. */
export async function mirrorAppRole(bao: OpenBao): Promise<{ role_id: string; secret_id: string }> {
  await bao.request('POST', 'sys/auth/approle', { type: 'approle' });
  await bao.request('POST', 'sys/policies/acl/keyturn-mirror', {
    policy: `path "secret/data/agents/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/agents/*" { capabilities = ["create", "read", "update", "delete", "list"] }`,
  });
  const role = 'auth/approle/role/keyturn-mirror';
  await bao.request('POST', role, { token_policies: 'keyturn-mirror', token_ttl: '20m' });
  const { role_id } = roleAnswer.parse(await bao.request('GET', `${role}/role-id`)).data;
  const { secret_id } = secretAnswer.parse(await bao.request('POST', `${role}/secret-id`)).data;
  return { role_id, secret_id };
}
