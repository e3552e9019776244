import * as z from 'zod';
import { allResources, functions } from './template.ts';

/** `RotateDashsecret`, as the framework writes a function's name into logical ids. */
export const logical = (name: string) =>
  name.replace(/^./, (first) => first.toUpperCase()).replaceAll('-', 'Dash');

/** What hands events to a function, one by one or in batches. A rule with a schedule in place of a pattern has no event. */
const edge = z.union([
  z.object({
    Type: z.literal('AWS::Events::Rule'),
    Properties: z.looseObject({ EventPattern: z.record(z.string(), z.unknown()) }),
  }),
  z.object({ Type: z.enum(['AWS::SNS::Subscription', 'AWS::Lambda::EventSourceMapping']) }),
  z.object({
    Type: z.literal('AWS::Lambda::Permission'),
    Properties: z.looseObject({ Principal: z.literal('secretsmanager.amazonaws.com') }),
  }),
]);

/** Those of the framework's own `events`: a queue, a topic, a bus. */
const framework = z.object({ events: z.array(z.record(z.string(), z.unknown())).default([]) });

/** Names of the functions that somebody else's events reach, by the bus, a queue, a topic or Secrets Manager. */
export const reachedByEvents: readonly string[] = functions.flatMap(({ name, function: declared }) => {
  const id = `"${logical(name)}LambdaFunction`;
  const own = framework.parse(declared).events.flatMap((one) => Object.keys(one));
  const isReached =
    own.some((kind) => kind !== 'schedule') ||
    Object.values(allResources).some(
      (one) => edge.safeParse(one).success && JSON.stringify(one.Properties).includes(id),
    );
  return isReached ? name : [];
});
