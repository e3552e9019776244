import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';

/** Counts one of something. Dimensions are few and short: a step, an outcome; never an identifier of a secret. */
export type Count = (metric: string, dimensions?: Readonly<Record<string, string>>) => void;

/**
 * Counts into CloudWatch's namespace Keyturn by lines of the log (embedded metric format), so without a call and without a
 * permission. Nothing is written unless Keyturn is deployed with `metricsDisabled=false`.
 *
 * @example
 * const count = counting();
 * count('RotationSteps', { step: 'setSecret', outcome: 'failed' });
 */
export function counting(): Count {
  const metrics = new Metrics({ namespace: 'Keyturn' });
  return (metric, dimensions = {}) => {
    const one = metrics.singleMetric();
    for (const [name, value] of Object.entries(dimensions)) one.addDimension(name, value);
    one.addMetric(metric, MetricUnit.Count, 1);
  };
}
