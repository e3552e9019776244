import type { Logger } from '@aws-lambda-powertools/logger';
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import { traced } from './tracing.ts';

/**
 * The middleware of every function: its log lines name the run, and the run is drawn in X-Ray where traces are on.
 *
 * @example middy().use(observed(log)).handler((event) => announceRotation(event, dependencies));
 */
export const observed = (log: Logger) => [injectLambdaContext(log), traced()];
