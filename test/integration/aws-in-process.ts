/** A request of an AWS client, as it would have gone onto the network. */
export interface AwsRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface AwsAnswer {
  readonly status?: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/**
 * Settings of an AWS client whose requests are answered in this process: all but the network is real. Nobody asks who sent them, so
 * they are not signed; and nothing comes from the environment and the files of this machine. Of a thousand runs with clients of
 * their own, that was most of the time.
 */
export function answeredBy(answer: (request: AwsRequest) => AwsAnswer | Promise<AwsAnswer>) {
  return {
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    signer: { sign: async <T>(request: T): Promise<T> => request },
    authSchemePreference: [] as string[],
    retryMode: 'standard',
    defaultsMode: 'standard' as const,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    userAgentAppId: 'test',
    requestHandler: {
      async handle(request: AwsRequest) {
        const { status = 200, headers, text } = await answer(request);
        return { response: { statusCode: status, headers: { ...headers }, body: Buffer.from(text) } };
      },
    },
  };
}

/** As Secrets Manager and DynamoDB name what they are asked for. */
export const operationOf = ({ headers }: AwsRequest): string => headers['x-amz-target']?.split('.')[1] ?? '';

/** The text of a request's body, of whatever type the SDK made it. */
export function textOf({ body }: AwsRequest): string {
  return ArrayBuffer.isView(body)
    ? Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()
    : String(body);
}
