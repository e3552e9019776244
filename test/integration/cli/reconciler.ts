import { canary } from './command.ts';

/**
 * A double of both reconcilers: it answers as they do, and keeps what it was asked to change in the secret `asked`. What fails
 * there says a secret, as a function of ours never should.
 */
export const reconcilerSource = `
const kept = async (request) => {
  const answer = await fetch(process.env.AWS_ENDPOINT_URL, {
    method: 'POST',
    headers: { 'x-amz-target': 'secretsmanager.PutSecretValue', 'user-agent': 'aws-sdk-js/3 keyturn/reconciler' },
    body: JSON.stringify({
      SecretId: 'asked', SecretString: JSON.stringify(request), ClientRequestToken: crypto.randomUUID(),
    }),
  });
  if (!answer.ok) throw new Error(await answer.text());
};
const stuck = {
  secret: 'agents/a/credentials', isStuck: true, versionId: 'v', since: '2026-11-24T09:00:00.000Z',
  cause: 'cancelled', explanation: 'rotation was turned off while it ran', suggestion: 'abandon',
};
const finding = {
  secret: 'agents/a/credentials', secretArn: 'arn', agentId: 'a', path: 'agents/a/credentials',
  explanation: 'it differs', outcome: 'waiting',
};
export const handler = async (request) => {
  if (request.secret === 'failing' || request.secrets?.includes('failing')) throw new Error('${canary}');
  if (request.action === 'unstick') {
    if (request.how === 'explain') return stuck;
    await kept(request);
    return { ...stuck, outcome: 'repaired', more: [] };
  }
  if (request.action === 'release') {
    await kept(request);
    return { secret: request.secret, outcome: 'written' };
  }
  return {
    secrets: 1, findings: [{ ...finding, kind: 'mirror-behind' }], unexamined: [], unexaminedKinds: [], isFinished: true,
    mirrored: 1, checked: 1, isVaultDown: false, inStep: [],
  };
};
`;
