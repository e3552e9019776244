import * as z from 'zod';
import { envelope, instant, secretArn } from '../contract.ts';

/**
 * AWS's own event, on the default bus where the account has a CloudTrail trail: Secrets Manager gave a rotation up, or took
 * AWSPENDING off its version because somebody wrote another. It may come minutes late. What isn't named here is dropped.
 */
export const awsRotationFailed = envelope.extend({
  source: z.literal('aws.secretsmanager'),
  'detail-type': z.literal('AWS Service Event via CloudTrail'),
  detail: z.object({
    eventID: z.string().min(1).max(64),
    eventTime: instant,
    eventName: z.enum(['RotationFailed', 'RotationAbandoned']),
    /** "Error when executing lambda ... during createSecret step" */
    errorMessage: z.string().exactOptional(),
    additionalEventData: z.object({ SecretId: secretArn }),
  }),
});
