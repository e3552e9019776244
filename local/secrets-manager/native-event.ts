/**
 * Causes the native event `Secret Label Updated` in ministack. PutEvents refuses the source aws.secretsmanager, and only
 * ministack's own Secrets Manager emits it: so each secret has a shadow there of the same name and ARN, whose
 * versions have the true ids, the true labels, and never the true value.
 */
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  PutSecretValueCommand,
  ResourceNotFoundException,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import type { LabelMoved } from './engine.ts';
import { PENDING, PREVIOUS } from './labels.ts';

const DUMMY = 'the shadow of a secret: its value is in the Secrets Manager engine';

export function createShadows({ endpoint, region }: { endpoint: string; region: string }) {
  const client = new SecretsManagerClient({
    endpoint,
    region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  let last: Promise<unknown> = Promise.resolve();
  /** One change after the other, so that events come in the order in which labels moved. */
  const inOrder = <Result>(change: () => Promise<Result>): Promise<Result> => {
    const done = last.then(change);
    last = done.catch(() => undefined);
    return done;
  };
  return {
    /** Creates a new secret's shadow, in place of one that a deleted secret of this name left, and gives its ARN. */
    newArn: (name: string): Promise<string> =>
      inOrder(async () => {
        await client
          .send(new DeleteSecretCommand({ SecretId: name, ForceDeleteWithoutRecovery: true }))
          .catch((error: unknown) => {
            if (!(error instanceof ResourceNotFoundException)) throw error;
          });
        const { ARN } = await client.send(new CreateSecretCommand({ Name: name, SecretString: DUMMY }));
        if (ARN === undefined) throw new Error(`ministack gave no ARN to the shadow of ${name}`);
        return ARN;
      }),
    /** ministack emits the event when a value is put under a label; AWS never emits it for these two labels. */
    onLabelMoved: async ({ name, label, to }: LabelMoved): Promise<void> => {
      if (label === PENDING || label === PREVIOUS) return;
      await inOrder(() =>
        client.send(
          new PutSecretValueCommand({
            SecretId: name,
            ClientRequestToken: to,
            SecretString: DUMMY,
            VersionStages: [label],
          }),
        ),
      );
    },
    close: () => client.destroy(),
  };
}
