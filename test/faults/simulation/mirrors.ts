import type { World } from './world.ts';

/** The oracle judges each write of a mirror. */
export function watchMirrors({ vaultModel, lines, oracle }: World): void {
  const bySecret = new Map([...lines.values()].map((line) => [line.secret, line]));
  vaultModel.onWrite = (path, data) => {
    const line = bySecret.get(path);
    if (!line) return;
    oracle.mirrored(
      line,
      String(data.password),
      (password) =>
        [line.current, ...line.superseded.map(({ login }) => login)].find(
          (login) => login?.password === password,
        )?.versionId,
    );
  };
  vaultModel.onRemove = (path) => {
    if (bySecret.has(path)) oracle.violated('a mirror is never gone', path, 'it was removed');
  };
}
