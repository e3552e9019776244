import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import {
  type RotateSecretDependencies,
  rotateSecret,
} from '../../../functions/rotate-secret/rotate-secret.ts';
import { dispatch } from '../../../local/secrets-manager/dispatch.ts';
import { createEngine, type Engine } from '../../../local/secrets-manager/engine.ts';
import { SecretsManagerError } from '../../../local/secrets-manager/errors.ts';
import { adminSecretsLike } from '../../../shared/credential/admin-secrets.ts';
import type { SecretJson } from '../../../shared/credential/secret-json.ts';
import type { OutgoingEvent } from '../../../shared/notification/event-bus.ts';
import { type AwsAnswer, type AwsRequest, answeredBy, operationOf, textOf } from '../aws-in-process.ts';

/** The AWS SDK's own client on an engine in this process. `each` is told of every call. */
export function clientOf(
  engine: Engine,
  each: (operation: string, input: Readonly<Record<string, unknown>>) => void = () => undefined,
  done: (operation: string) => void = () => undefined,
  maxAttempts = 1,
): SecretsManagerClient {
  const answer = async (request: AwsRequest): Promise<AwsAnswer> => {
    const operation = operationOf(request);
    const input = JSON.parse(textOf(request));
    each(operation, input);
    const [status, answered] = await dispatch(engine, operation, input).then(
      (result) => [200, result] as const,
      (error: unknown) => {
        if (!(error instanceof SecretsManagerError)) throw error;
        return [error.status, { __type: error.code, Message: error.message }] as const;
      },
    );
    done(operation);
    const headers = { 'content-type': 'application/x-amz-json-1.1' };
    return { status, headers, text: JSON.stringify(answered) };
  };
  return new SecretsManagerClient({ ...answeredBy(answer), maxAttempts });
}

/** As the deployment has it where its parameter `adminSecrets` isn't given. */
export const isAdminSecret = adminSecretsLike('keyturn/admin/*');

/** Everything a step of rotate-secret logs or publishes, beside what it does. */
export function witness(): { said: string[]; parts: Omit<RotateSecretDependencies, 'secretsManager'> } {
  const said: string[] = [];
  const note = (...all: unknown[]) => void said.push(JSON.stringify(all));
  return {
    said,
    parts: {
      bus: { publish: async (events: readonly OutgoingEvent[]) => note(events) },
      log: { info: note, warn: note },
      now: () => new Date(),
      count: () => undefined,
      pause: async () => undefined,
      allowedSecrets: undefined,
      isAdminSecret,
    },
  };
}

/** An engine whose rotations run rotate-secret in this process. */
export function rotatingEngine(options: {
  attempts?: number;
  dependencies: (engine: Engine) => RotateSecretDependencies;
  before?: (step: string) => void;
}): Engine {
  const engine: Engine = createEngine({
    attempts: options.attempts ?? 1,
    wait: async () => undefined,
    invoke: async (_, event) => {
      options.before?.(event.Step);
      await rotateSecret(event, options.dependencies(engine));
    },
  });
  return engine;
}

/** Puts an agent's secret and its admin's in place, with rotation on. Gives the agent's ARN. */
export async function putSecrets(
  engine: Engine,
  {
    agent,
    admin,
    tags = {},
    names = { agent: 'one', admin: 'postgres' },
  }: {
    agent: SecretJson;
    admin: SecretJson;
    tags?: Record<string, string>;
    names?: { readonly agent: string; readonly admin: string };
  },
): Promise<string> {
  const { ARN: masterarn } = await engine.CreateSecret({
    Name: `keyturn/admin/${names.admin}`,
    SecretString: admin.serialize().reveal(),
  });
  const { ARN } = await engine.CreateSecret({
    Name: `agents/${names.agent}/credentials`,
    SecretString: agent.with({ masterarn }).serialize().reveal(),
    Tags: Object.entries({ agent_id: names.agent, managed_by: 'agent-platform', ...tags }).map(
      ([Key, Value]) => ({
        Key,
        Value,
      }),
    ),
  });
  return ARN;
}
