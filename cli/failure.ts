import { AwsCallError } from '../shared/aws/errors.ts';
import { FunctionFailedError, FunctionRefusedError } from '../shared/aws/function-errors.ts';

/**
 * One sentence for whoever called the command. Errors of ours say what is wrong and hold no value, so their message is
 * shown. A library's may quote what it was given: of those, the name and what is known of it must do.
 */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  const code = 'code' in error ? String(error.code) : '';
  const ofThisMachine = machine.get(code);
  if (ofThisMachine !== undefined) return ofThisMachine;
  // A socket's, which the AWS SDK passes on with its own fields added.
  if (/^E[A-Z]+$/.test(code)) return `the network failed (${code}): look at --region and the address`;
  if (error instanceof AwsCallError) {
    const { operation } = error;
    const action = operation.includes(':') ? operation : `secretsmanager:${operation}`;
    if (code === 'AccessDeniedException') return refused(action);
    return known.get(code) ?? `AWS answered ${code} to ${operation}`;
  }
  if (error instanceof FunctionFailedError) return ofFunction(error);
  if ('$metadata' in error || known.has(error.name)) return ofAws(error);
  return error.constructor === Error ? error.name : plain(error.message);
}

/** What a call of this machine's own system failed with. */
const machine = new Map([
  ['EADDRINUSE', 'the port is taken: give another with --port, or end what listens there'],
  ['EADDRNOTAVAIL', 'this machine has no such address: look at --host'],
  ['EACCES', 'this user may not open a file or a port that is needed: look at its mode, or at --port'],
  ['EEXIST', 'a file that was to be made exists already: nothing was written over it'],
  ['ENOENT', 'there is no such file or folder'],
  ['ENOSPC', 'the disk is full'],
  ['EROFS', 'the disk can only be read'],
]);

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

/** A function is asked by its name or its ARN, whose last part is the name. */
function ofFunction(error: FunctionFailedError): string {
  const { errorClass } = error;
  const name = error.functionName.split(':').at(-1);
  if (error instanceof FunctionRefusedError) {
    if (errorClass === 'AccessDeniedException') return refused(`lambda:InvokeFunction on ${name}`);
    if (errorClass === 'ResourceNotFoundException') {
      return `there is no function ${name}: look at --stage and --region`;
    }
    return known.get(errorClass) ?? `AWS answered ${errorClass} to lambda:InvokeFunction on ${name}`;
  }
  if (errorClass === 'NoSuchSecretError') return 'there is no such secret: keyturn status names them';
  return `${name} failed with ${errorClass}: aws logs tail /aws/lambda/${name} --since 15m says why`;
}

const refused = (action: string) => `AWS refused ${action}: these credentials may not do that`;

/** Without characters that a terminal would act on. */
export function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim();
}
