/** From an operation's name and an unknown JSON body to the engine's typed operation, and back to AWS's JSON. */
import type { z } from 'zod';
import type { Engine } from './engine.ts';
import { SecretsManagerError } from './errors.ts';
import { isOperation, type Operation, type Request, requests } from './requests.ts';

type Requests = { [Op in Operation]: Request<Op> };
type Schemas = { readonly [Op in Operation]: z.ZodType<Requests[Op]> };
type Handlers = { readonly [Op in Operation]: (request: Requests[Op]) => Promise<unknown> };

const schemas: Schemas = requests;

/** Answers with what goes over the wire: dates as epoch seconds, absent members left out. */
export async function dispatch(engine: Engine, operation: string, body: unknown): Promise<unknown> {
  return wired(await answered(engine, operation, body));
}

/** Answers as an SDK hands it to its caller: dates are dates. */
export async function answered(engine: Engine, operation: string, body: unknown): Promise<unknown> {
  if (!isOperation(operation)) {
    throw new SecretsManagerError('UnknownOperationException', `Unknown operation: ${operation}`);
  }
  return (await call(engine, operation, body)) ?? {};
}

function call<Op extends Operation>(handlers: Handlers, operation: Op, body: unknown): Promise<unknown> {
  const parsed = schemas[operation].safeParse(body);
  if (!parsed.success) throw refusal(parsed.error);
  return handlers[operation](parsed.data);
}

/** Names the members at fault, never their values: one may be the secret. */
function refusal({ issues }: z.ZodError): SecretsManagerError {
  const members = issues.map(({ path, code, message }) => {
    const at = path.join('.');
    return code === 'unrecognized_keys'
      ? message
      : `Value at '${at}' failed to satisfy constraint: ${message}`;
  });
  const wrongType = issues.some(
    (issue) => issue.code === 'invalid_type' && !issue.message.endsWith('undefined'),
  );
  return new SecretsManagerError(
    wrongType ? 'SerializationException' : 'ValidationException',
    `${members.length} validation error detected: ${members.join('; ')}`,
  );
}

function wired(value: unknown): unknown {
  if (value instanceof Date) return value.getTime() / 1000;
  if (Array.isArray(value)) return value.map(wired);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, wired(member)]));
}
