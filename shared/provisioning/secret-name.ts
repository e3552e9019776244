import type { Declaration } from './declaration.ts';

/** What an agent's secret is called in Secrets Manager. */
export const secretNameOf = ({ agentId, secret }: Pick<Declaration, 'agentId' | 'secret'>): string =>
  `agents/${agentId}/${secret}`;
