import { Tracer } from '@aws-lambda-powertools/tracer';
import { captureLambdaHandler } from '@aws-lambda-powertools/tracer/middleware';

/**
 * A middleware that draws a run as a segment in X-Ray, with the failure it ended in and nothing of what it was given, gave
 * back or asked of others. It does nothing unless Keyturn is deployed with the parameter `tracing`.
 */
export function traced() {
  return captureLambdaHandler(new Tracer({ captureHTTPsRequests: false }), { captureResponse: false });
}
