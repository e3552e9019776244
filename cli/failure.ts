import { AwsCallError } from '../shared/aws/errors.ts';

/**
 * One sentence for whoever called the command. Errors of ours say what is wrong and hold no value, so their message is
 * shown. A library's may quote what it was given: of those, the name and what is known of it must do.
 */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  const code = 'code' in error ? String(error.code) : '';
  // A socket's, which the AWS SDK passes on with its own fields added.
  if (/^E[A-Z]+$/.test(code)) return `the network failed (${code}): look at --region and the address`;
  if (error instanceof AwsCallError) {
    const { operation } = error;
    const action = operation.includes(':') ? operation : `secretsmanager:${operation}`;
    if (code === 'AccessDeniedException') return refused(action);
    return known.get(code) ?? `AWS answered ${code} to ${operation}`;
  }
  if ('$metadata' in error || known.has(error.name)) return ofAws(error);
  return error.constructor === Error ? error.name : plain(error.message);
}

const known = new Map([
  ['CredentialsProviderError', 'there are no AWS credentials: set AWS_PROFILE or --profile, or log in'],
  ['ExpiredToken', 'the AWS credentials have expired: log in again'],
  ['ExpiredTokenException', 'the AWS credentials have expired: log in again'],
  ['InvalidClientTokenId', 'AWS does not know these credentials: look at --profile'],
  ['UnrecognizedClientException', 'AWS does not know these credentials: look at --profile'],
  [
    'InvalidSignatureException',
    "AWS refuses the signature: look at the secret key, and at this machine's clock",
  ],
  ['SignatureDoesNotMatch', "AWS refuses the signature: look at the secret key, and at this machine's clock"],
  ['TimeoutError', 'AWS did not answer in time: look at --region and the network'],
  ['ThrottlingException', 'AWS refused the call because there were too many: try again in a minute'],
]);

function ofAws(error: Error): string {
  const sentence = known.get(error.name);
  if (sentence !== undefined) return sentence;
  // Of the message nothing but the action's name, which has the shape of one.
  const action = /perform: ([a-z-]+:[A-Za-z]+)/.exec(error.message)?.[1];
  if (action !== undefined) return refused(action);
  return `AWS answered ${error.name}`;
}

const refused = (action: string) => `AWS refused ${action}: these credentials may not do that`;

/** Without characters that a terminal would act on. */
export function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim();
}
