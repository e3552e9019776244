import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { DescribeSecretCommand, ResourceNotFoundException } from '@aws-sdk/client-secrets-manager';
import { Argument, Command, InvalidArgumentError } from 'commander';
import { stringify } from 'yaml';
import { differenceOf } from '../shared/provisioning/applied.ts';
import type { SystemParts } from '../shared/provisioning/converge.ts';
import { DeclarationError, readDeclaration } from '../shared/provisioning/declaration.ts';
import { called } from '../shared/secrets-manager/errors.ts';
import { readVersion } from '../shared/secrets-manager/versions.ts';
import { type DeploymentFlags, onDeployment } from './deployment.ts';
import { asCalled, CalledWronglyError } from './exit.ts';
import { type Output, terminal } from './output.ts';
import { type ConvergeFlags, converge } from './provisioning/converge.ts';
import { type OpenSystems, openSystems } from './provisioning/systems.ts';

interface ProvisionFlags extends DeploymentFlags, ConvergeFlags {
  readonly adminSecret?: string;
  readonly database?: string;
  readonly read: readonly string[];
  readonly write: readonly string[];
  readonly static: readonly string[];
  readonly days: number;
  readonly grace: string;
  readonly mirror: boolean;
  readonly save: boolean;
}

const many = (value: string, before: readonly string[]) => [...before, value];

/** `keyturn provision agent NAME`: a declaration from flags, applied as a file of it would be. */
export function provisionCommand(open: OpenSystems = openSystems, output: Output = terminal()): Command {
  return onDeployment(new Command('provision'))
    .description('Make an agent without writing its file first')
    .addArgument(new Argument('<what>').choices(['agent']))
    .argument('<name>', "the agent's id")
    .option('--admin-secret <secret>', 'give it a login on the server of this admin secret')
    .option('--database <name>', "default: the admin secret's")
    .option('--read <schema>', 'it may read every table there; may be repeated', many, [])
    .option('--write <schema>', 'it may read and change every row there; may be repeated', many, [])
    .option('--static <field>', 'a field of its secret that you fill in; may be repeated', many, [])
    .option('--days <number>', 'days between two rotations', whole, 30)
    .option('--grace <time>', 'how long a superseded login goes on working', '1h')
    .option('--no-mirror', "don't mirror its secret in Vault")
    .option('--save', 'write agents/NAME.yml too', false)
    .option('--dry-run', 'only show what differs; exits with 3 where anything does', false)
    .option('-y, --yes', 'do not ask', false)
    .addHelpText('after', '\n--json prints what keyturn apply prints.')
    .action((_what: string, name: string, flags: ProvisionFlags) => provision(name, flags, open, output));
}

async function provision(
  agentId: string,
  flags: ProvisionFlags,
  open: OpenSystems,
  output: Output,
): Promise<void> {
  const { adminSecret, days, grace, mirror, save, dryRun } = flags;
  const written = {
    agentId,
    ...(flags.static.length > 0 && { staticFields: flags.static }),
    ...(days !== 30 && { rotationDays: days }),
    ...(grace !== '1h' && { grace }),
    ...(mirror ? {} : { mirror }),
  };
  await asCalled(() => readDeclaration(written), DeclarationError); // before anything is asked of AWS
  const file = `agents/${agentId}.yml`;
  if (save && existsSync(file)) throw new CalledWronglyError(`--save: ${file} exists already`);
  const systems = await open(flags);
  const text =
    adminSecret === undefined
      ? written
      : { ...written, postgres: await databaseOf(adminSecret, flags, systems) };
  const declaration = await asCalled(() => readDeclaration(text), DeclarationError);
  const known = await systems.declarations.read(agentId);
  if (known && differenceOf(known.declaration, declaration).length > 0) {
    throw new CalledWronglyError(
      `${agentId} is declared already, and differently: change its file, and keyturn apply`,
    );
  }
  await converge([declaration], systems, flags, output);
  if (!save || dryRun) return;
  mkdirSync('agents', { recursive: true });
  const schema =
    'https://raw.githubusercontent.com/keyturn/keyturn/main/shared/provisioning/declaration.schema.json';
  writeFileSync(file, `# yaml-language-server: $schema=${schema}\n${stringify(text)}`, { flag: 'wx' });
  output.say(`wrote ${file}`);
}

/** Where a login is to be, as its admin secret says. */
async function databaseOf(
  adminSecret: string,
  { database, read, write }: ProvisionFlags,
  { secretsManager }: SystemParts,
): Promise<object> {
  const secret = await called('DescribeSecret', async () => {
    try {
      return await secretsManager.send(new DescribeSecretCommand({ SecretId: adminSecret }));
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    }
  });
  const version = await readVersion(secretsManager, adminSecret, { stage: 'AWSCURRENT' });
  if (!secret || !version) throw new CalledWronglyError(`--admin-secret: there is no secret ${adminSecret}`);
  const { engine, host, port, dbname, ssl } = version.value.reveal();
  if (host === undefined) {
    throw new CalledWronglyError('--admin-secret: it names no host: write a declaration, and keyturn apply');
  }
  const rights = [
    ...read.map((schema) => [schema, { allTables: ['SELECT'] }] as const),
    ...write.map((schema) => [schema, { allTables: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }] as const),
  ];
  return {
    adminSecretArn: secret.ARN,
    ...(engine === 'aurora-postgresql' && { engine }),
    host,
    ...(port !== undefined && { port: Number(port) }),
    ...(ssl === false || ssl === 'false' ? { ssl: false } : {}),
    database: database ?? dbname ?? 'postgres',
    ...(rights.length > 0 && { schemas: Object.fromEntries(rights) }),
  };
}

function whole(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new InvalidArgumentError('Expected a whole number, at least 1.');
  return number;
}
