import * as z from 'zod';
import { envelope, secretArn, secretName, versionId } from '../contract.ts';

/**
 * AWS's own event, on the default bus: a staging label moved. Not strict, for AWS may add fields to it; what isn't named
 * here is dropped.
 */
export const secretLabelUpdated = envelope.extend({
  source: z.literal('aws.secretsmanager'),
  'detail-type': z.literal('Secret Label Updated'),
  resources: z.tuple([secretArn]),
  detail: z.object({ name: secretName, labelUpdated: z.string().min(1), versionId }),
});
export type SecretLabelUpdated = z.output<typeof secretLabelUpdated>;
