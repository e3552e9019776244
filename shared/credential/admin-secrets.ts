/** Whether an ARN is that of a secret which `masterarn` may name. */
export type IsAdminSecret = (secretArn: string) => boolean;

/**
 * Secrets by their names, with `*` and `?` as in IAM's policies, and with the six characters that AWS puts at the end.
 *
 * @example adminSecretsLike('keyturn/admin/*')('arn:aws:secretsmanager:eu-central-1:123456789012:secret:keyturn/admin/db-AbCdEf');
 */
export function adminSecretsLike(pattern: string): IsAdminSecret {
  const name = pattern
    .replace(/[.+^${}()|[\]\\/]/g, '\\$&')
    .replaceAll('*', '[^:]*')
    .replaceAll('?', '[^:]');
  const arn = new RegExp(`^arn:[^:]+:secretsmanager:[^:]+:[^:]+:secret:${name}$`);
  return (secretArn) => arn.test(secretArn);
}
