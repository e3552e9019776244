import { expect, it } from 'vitest';
import { adminSecretsLike } from '../../../shared/credential/admin-secrets.ts';

const arn = (name: string, more = 'eu-central-1:123456789012') =>
  `arn:aws:secretsmanager:${more}:secret:${name}`;

it.each([
  ['keyturn/admin/*', 'keyturn/admin/db-AbCdEf', true],
  ['keyturn/admin/*', 'keyturn/admin/a/b-AbCdEf', true],
  ['keyturn/admin/*', 'keyturn/administrator-AbCdEf', false],
  ['keyturn/admin/*', 'agents/other/credentials-AbCdEf', false],
  ['keyturn/admin/*', 'agents/keyturn/admin/db-AbCdEf', false],
  ['keyturn/admin/*', 'Keyturn/admin/db-AbCdEf', false],
  ['keyturn/admin/*', 'agents/x:secret:keyturn/admin/db-AbCdEf', false],
  ['keyturn/admin/*', 'agents/x-AbCdEf\nkeyturn/admin/db-AbCdEf', false],
  ['rds!*', 'rds!db-1f2e-AbCdEf', true],
  ['rds!*', 'rds-db-AbCdEf', false],
  ['admin.db-??????', 'admin.db-AbCdEf', true],
  ['admin.db-??????', 'admin.db-x-AbCdEf', false],
  ['admin.db-??????', 'adminxdb-AbCdEf', false],
  ['a+(b)*', 'a+(b)-AbCdEf', true],
])('%s, as IAM reads it: %s is one: %s', (pattern, name, is) => {
  expect(adminSecretsLike(pattern)(arn(name))).toBe(is);
});

it("takes nothing but a secret's ARN", () => {
  const isAdminSecret = adminSecretsLike('*');
  expect(isAdminSecret(arn('agents/other/credentials-AbCdEf'))).toBe(true);
  expect(isAdminSecret('keyturn/admin/db')).toBe(false);
  expect(isAdminSecret('arn:aws:s3:eu-central-1:123456789012:secret:x-AbCdEf')).toBe(false);
  expect(isAdminSecret(`x${arn('x-AbCdEf')}`)).toBe(false);
});
