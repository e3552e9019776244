import * as z from 'zod';
import { agentSource } from '../../shared/notification/agent-names.ts';
import { agentId, type BusEvent, envelope, instant, ofSecret, parsed, versionId } from '../contract.ts';

const detailType = 'Secret Adopted';

const detail = z.strictObject({
  ...ofSecret,
  agentInstanceId: agentId,
  versionId: versionId,
  adoptedAt: instant,
});

/**
 * An agent instance confirms that it uses a version: the one event that agents publish. IAM lets an agent publish under its own
 * source only, and can't look into the detail; so the detail has to say the same, and speak of the agent's own secret.
 */
export const secretAdopted = {
  detailType,
  detail,
  schema: envelope
    .extend({ source: z.string().startsWith(agentSource('')), 'detail-type': z.literal(detailType), detail })
    .refine(({ source, detail: { agentId } }) => source === agentSource(agentId), {
      path: ['source'],
      error: 'expected the agent of the detail',
    })
    .refine(({ detail: { agentId, secretArn } }) => secretArn.includes(`:secret:agents/${agentId}/`), {
      path: ['detail', 'secretArn'],
      error: 'expected a secret of the agent',
    }),
  of(fields: z.input<typeof detail>): BusEvent {
    const checked = parsed(detailType, detail, fields);
    return { source: agentSource(checked.agentId), detailType, detail: checked };
  },
};
