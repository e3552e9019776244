import { once } from 'node:events';
import { Command, InvalidArgumentError } from 'commander';
import {
  type AgentVault,
  type AgentVaultOptions,
  createAgentSecrets,
  createAgentVault,
  kubernetesLogin,
  tokenFileLogin,
  type VaultLogin,
} from '../agent/index.ts';
import { assertReach, BeyondLoopbackError, startSidecar } from '../agent/sidecar/server.ts';
import {
  sidecarToken,
  TOKEN_VARIABLES,
  TokenMissingError,
  TokenNotPrivateError,
} from '../agent/sidecar/token.ts';
import { asCalled, CalledWronglyError } from './exit.ts';

interface AgentFlags {
  readonly agentId: string;
  readonly port: number;
  readonly host: string;
  readonly beyondLoopback: boolean;
  readonly maxConnections: number;
  readonly ttlSeconds: number;
  readonly staleSeconds: number;
  readonly maxSecrets: number;
  readonly topicArn?: string;
  readonly queueUrl?: string;
  readonly eventBus?: string;
  readonly instanceId?: string;
  readonly region?: string;
  readonly vaultAddress?: string;
  readonly vaultNamespace?: string;
  readonly vaultMount: string;
  readonly vaultRole?: string;
  readonly vaultAuthMount: string;
  readonly serviceAccountTokenFile?: string;
  readonly vaultTokenFile?: string;
}

/** `keyturn agent`: the sidecar, until it is told to end by SIGTERM or SIGINT. */
export function agentCommand(): Command {
  return new Command('agent')
    .description(
      'Serve secrets on this machine, as the AWS Secrets Manager Agent does, and keep them up to date',
    )
    .requiredOption('--agent-id <id>', "the agent, as in its secrets' tag agent_id")
    .option('--topic-arn <arn>', 'the invalidation topic: hear of new versions through a queue of its own')
    .option('--queue-url <url>', 'instead of the topic: a queue that is subscribed to it')
    .option('--event-bus <name>', 'say there which versions are in use ("Secret Adopted")')
    .option(
      '--instance-id <id>',
      'tells the instances of an agent apart; no two may have the same (default: host name and process id)',
    )
    .option('--port <port>', 'where to listen', whole, 2_773)
    .option('--host <address>', 'the address to listen on', '127.0.0.1')
    .option('--beyond-loopback', 'allow an address that other machines can reach', false)
    .option('--max-connections <number>', 'open connections beyond which requests get 429', atLeastOne, 800)
    .option('--ttl-seconds <seconds>', 'how long a secret is served before it is read again', whole, 300)
    .option(
      '--stale-seconds <seconds>',
      'how long, at most, while Secrets Manager or Vault is out of reach',
      whole,
      3_600,
    )
    .option(
      '--max-secrets <number>',
      'secrets held at a time, of Secrets Manager and of Vault each',
      atLeastOne,
      1_000,
    )
    .option('--vault-address <url>', 'read Vault or OpenBao too, at /vault/get?path=')
    .option('--vault-namespace <namespace>', 'of HCP Vault, Vault Enterprise or OpenBao')
    .option('--vault-mount <mount>', 'where its KV v2 is', 'secret')
    .option('--vault-role <role>', "log in to it by the pod's service account, with this role")
    .option('--vault-auth-mount <mount>', "where Vault's login of this cluster's pods is", 'kubernetes')
    .option('--service-account-token-file <path>', "a projected token's, where its audience is Vault's")
    .option('--vault-token-file <path>', 'or by a token that another process keeps there')
    .option('--region <region>', "default: as the AWS SDK's")
    .addHelpText(
      'after',
      `\nCallers send a token, which is read from ${TOKEN_VARIABLES.join(', ')} (a value, or file:///path).`,
    )
    .action(serve);
}

async function serve(flags: AgentFlags): Promise<void> {
  const { agentId, topicArn, queueUrl, eventBus, instanceId, region, port, host } = flags;
  const { beyondLoopback, maxConnections } = flags;
  await asCalled(() => assertReach({ host, beyondLoopback }), BeyondLoopbackError);
  const token = await asCalled(() => sidecarToken(process.env), TokenMissingError, TokenNotPrivateError);
  const log = {
    warn: (message: string, fields: object) => console.error(JSON.stringify({ message, ...fields })),
  };
  await using vault = vaultOf(flags, log);
  await using agent = createAgentSecrets({
    agentId,
    log,
    ttlMs: flags.ttlSeconds * 1_000,
    staleMs: flags.staleSeconds * 1_000,
    maxEntries: flags.maxSecrets,
    topicArn,
    queueUrl,
    eventBusName: eventBus,
    instanceId,
    aws: { region },
  });
  await using sidecar = await startSidecar({
    agent,
    token,
    port,
    host,
    beyondLoopback,
    maxConnections,
    ...(vault && { vault }),
  });
  console.log(`keyturn: serving the secrets of ${agentId} on ${sidecar.url}`);
  await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)));
}

function vaultOf(flags: AgentFlags, log: NonNullable<AgentVaultOptions['log']>): AgentVault | undefined {
  const { vaultAddress, vaultNamespace, vaultMount, ttlSeconds, staleSeconds, maxSecrets } = flags;
  if (vaultAddress === undefined) return undefined;
  return createAgentVault({
    address: vaultAddress,
    namespace: vaultNamespace,
    mount: vaultMount,
    login: vaultLoginOf(flags),
    log,
    ttlMs: ttlSeconds * 1_000,
    staleMs: staleSeconds * 1_000,
    maxEntries: maxSecrets,
  });
}

function vaultLoginOf(flags: AgentFlags): VaultLogin {
  const { vaultRole, vaultAuthMount, serviceAccountTokenFile, vaultTokenFile } = flags;
  if (vaultTokenFile !== undefined) return tokenFileLogin(vaultTokenFile);
  if (vaultRole === undefined)
    throw new CalledWronglyError('--vault-address needs --vault-role or --vault-token-file');
  return kubernetesLogin({
    role: vaultRole,
    mount: vaultAuthMount,
    tokenPath: serviceAccountTokenFile,
  });
}

function whole(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new InvalidArgumentError('Expected a whole number.');
  return number;
}

function atLeastOne(text: string): number {
  const number = whole(text);
  if (number === 0) throw new InvalidArgumentError('Expected at least 1.');
  return number;
}
