import { Logger } from '@aws-lambda-powertools/logger';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import middy from '@middy/core';
import * as z from 'zod';
import { parsed } from '../../events/contract.ts';
import { counting } from '../../shared/observability/metrics.ts';
import { observed } from '../../shared/observability/observed.ts';
import { adoptionsIn } from '../../shared/state/adoptions.ts';
import { recordAdoption } from './record-adoption.ts';

const environment = parsed(
  'The environment of record-adoption',
  z.object({ STATE_TABLE_NAME: z.string().min(1), OWN_SECRET_ARNS: z.string().min(1) }),
  process.env,
);
const client = { customUserAgent: 'keyturn/record-adoption' };
const log = new Logger();
const dependencies = {
  ...adoptionsIn(new DynamoDBClient(client), environment.STATE_TABLE_NAME),
  ownArns: environment.OWN_SECRET_ARNS,
  log,
  count: counting(),
};

export const handler = middy<unknown, void>()
  .use(observed(log))
  .handler((event) => recordAdoption(event, dependencies));
