import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from '../../../local/root.ts';

/** The prefix of an AWS client's actions, where it isn't the client's name. */
const prefixes: Readonly<Record<string, string>> = {
  'client-secrets-manager': 'secretsmanager',
  'client-eventbridge': 'events',
  'lib-dynamodb': 'dynamodb',
  'client-dynamodb': 'dynamodb',
};
/** Commands whose actions have another name. */
const renamed: Readonly<Record<string, string>> = { 'lambda:Invoke': 'lambda:InvokeFunction' };
/** What DynamoDB's document client calls by another name. */
const documentCommands: Readonly<Record<string, string>> = {
  Get: 'GetItem',
  Put: 'PutItem',
  Update: 'UpdateItem',
  Delete: 'DeleteItem',
};

const bundles = new Map<string, Promise<string>>();
/** What is left of a function's code once what it never uses is shaken off. Packages stay outside: only code of ours counts. */
function codeOf(name: string): Promise<string> {
  const code = bundles.get(name) ?? bundled(name);
  bundles.set(name, code);
  return code;
}

async function bundled(name: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(root, `functions/${name}/handler.ts`)],
    bundle: true,
    write: false,
    treeShaking: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  });
  return outputFiles.map(({ text }) => text).join('\n');
}

/** The detail-types of the events that a function's code makes: those whose contract has its `of` called. */
export async function eventsOf(name: string): Promise<string[]> {
  const code = await codeOf(name);
  const contracts = code.matchAll(/var (\w+) = busContract\(\s*"([^"]+)"/g);
  return [...contracts]
    .flatMap(([, contract = '', detailType = '']) =>
      new RegExp(`\\b${contract}\\.of\\(`).test(code) ? detailType : [],
    )
    .sort();
}

/** The classes of errors that are left in a function's bundle, by the names that they say. */
export async function errorClassesOf(name: string): Promise<string[]> {
  const names = (await codeOf(name)).matchAll(/\bname = "(\w+Error)"/g);
  return [...new Set([...names].map(([, errorClass = '']) => errorClass))].sort();
}

/** The actions that a function's code can call: the commands that are left in its bundle. */
export async function callsOf(name: string): Promise<string[]> {
  const code = await codeOf(name);
  const imports = [...code.matchAll(/import\s*\{([^}]*)\}\s*from\s*"@aws-sdk\/([\w-]+)"/g)];
  const actions = imports.flatMap(([, names = '', client = '']) => {
    const prefix = prefixes[client] ?? client.replace(/^client-/, '');
    return names.split(',').flatMap((imported) => {
      const [exported = '', local = exported] = imported.trim().split(/\s+as\s+/);
      const command = /^(\w+)Command$/.exec(exported)?.[1] ?? /^paginate(\w+)$/.exec(exported)?.[1];
      if (command === undefined || !new RegExp(`\\b${local.replace('$', '\\$')}\\(`).test(code)) return [];
      const own = client === 'lib-dynamodb' ? (documentCommands[command] ?? command) : command;
      return renamed[`${prefix}:${own}`] ?? `${prefix}:${own}`;
    });
  });
  return [...new Set(actions)].sort();
}
