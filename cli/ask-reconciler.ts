import { type DeploymentFlags, openDeployment } from './deployment.ts';

/** Has one of the deployment's reconcilers do something, and gives its answer. */
export type AskReconciler = (flags: DeploymentFlags, request: object) => Promise<unknown>;

/**
 * The function reaches the databases and Vault, which an operator's machine need not; the operator needs no more than
 * `lambda:InvokeFunction` on it.
 */
const asking =
  (output: string): AskReconciler =>
  async (flags, request) => {
    const { LambdaClient } = await import('@aws-sdk/client-lambda');
    const { askFunction } = await import('../shared/aws/ask-function.ts');
    const deployment = await openDeployment(flags);
    // Its answer may take as long as the function may run; asked twice, it would run twice.
    const client = new LambdaClient({ ...deployment.aws, maxAttempts: 1 });
    return askFunction(client, deployment.output(output), request);
  };

export const askReconciler = asking('ReconcileFleetFunctionArn');
export const askMirrors = asking('ReconcileMirrorsFunctionArn');
