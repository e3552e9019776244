import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseDocument } from 'yaml';
import { type Declaration, DeclarationError, readDeclaration } from './declaration.ts';
import { refuseSharing } from './fleet.ts';

const isYaml = (file: string) => /\.ya?ml$/.test(file);

/**
 * The declarations of a file, or of a folder's `*.yml`: all of them, or `DeclarationError` with what is wrong with any. A file
 * is named after its agent, so that whoever reads of an agent knows where to look.
 */
export async function readDeclarations(path: string): Promise<readonly Declaration[]> {
  const files = await filesAt(path);
  const problems: string[] = [];
  const fleet: Declaration[] = [];
  for (const file of files) {
    try {
      fleet.push(declaredIn(file, await readFile(file, 'utf8')));
    } catch (error) {
      if (!(error instanceof DeclarationError)) throw error;
      problems.push(`${file}: ${error.message}`);
    }
  }
  if (problems.length > 0) throw new DeclarationError(problems.join('; '));
  refuseSharing(fleet);
  return fleet;
}

async function filesAt(path: string): Promise<readonly string[]> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new DeclarationError(`${path}: there is no such file or folder`);
  if (!found.isDirectory()) return [path];
  const files = (await readdir(path)).filter(isYaml).toSorted();
  if (files.length === 0) throw new DeclarationError(`${path}: there is no *.yml in it`);
  return files.map((file) => join(path, file));
}

/** One declaration from the text of its file. What the parser says of a bad text quotes it, so the place must do. */
export function declaredIn(file: string, text: string): Declaration {
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) {
    const line = problem.linePos?.[0].line;
    throw new DeclarationError(`line ${line ?? '?'}: not valid YAML (${problem.code.toLowerCase()})`);
  }
  const declared = readDeclaration(plainOf(document));
  const expected = basename(file).replace(/\.ya?ml$/, '');
  if (declared.agentId !== expected) {
    throw new DeclarationError('agentId: expected the name of the file');
  }
  return declared;
}

/** No alias may stand for more than it is: a few lines of them can stand for gigabytes. */
function plainOf(document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    throw new DeclarationError('declaration: aliases are not taken');
  }
}
