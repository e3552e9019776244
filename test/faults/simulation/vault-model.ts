import type { KeyMetadata, Vault, Key as VaultKey } from '../../../shared/vault/client.ts';
import { CasMismatchError, VaultSealedError, VaultUnreachableError } from '../../../shared/vault/errors.ts';
import { outside, type Surroundings } from './invocation.ts';

interface Key {
  readonly version: number;
  readonly data: Record<string, unknown> | undefined;
  readonly custom: Readonly<Record<string, string>>;
}

/** KV version 2 in memory, as the mirror uses it: versions, check-and-set, custom metadata. test/faults/conformance compares it. */
export class VaultModel implements Vault {
  readonly keys = new Map<string, Key>();
  /** Told of what is written, once it is. */
  onWrite: (path: string, data: Readonly<Record<string, unknown>>) => void = () => undefined;
  onRemove: (path: string) => void = () => undefined;

  async readData(path: string): Promise<{ data: Record<string, unknown>; version: number } | undefined> {
    const key = this.keys.get(path);
    return key?.data && { data: structuredClone(key.data), version: key.version };
  }

  async writeData(path: string, data: Readonly<Record<string, unknown>>, cas: number): Promise<number> {
    const key = this.keys.get(path) ?? { version: 0, data: undefined, custom: {} };
    if (key.version !== cas) throw new CasMismatchError('The key changed meanwhile');
    this.keys.set(path, { ...key, version: cas + 1, data: structuredClone({ ...data }) });
    this.onWrite(path, data);
    return cas + 1;
  }

  async readMetadata(path: string): Promise<KeyMetadata | undefined> {
    const key = this.keys.get(path);
    return key && { currentVersion: key.version, custom: key.custom };
  }

  async writeCustomMetadata(path: string, custom: Readonly<Record<string, string>>): Promise<void> {
    const key = this.keys.get(path) ?? { version: 0, data: undefined, custom: {} };
    this.keys.set(path, { ...key, custom: { ...custom } });
  }

  async readKey(path: string): Promise<VaultKey | undefined> {
    const key = this.keys.get(path);
    return (
      key && {
        currentVersion: key.version,
        custom: key.custom,
        ...(key.data && { data: structuredClone(key.data) }),
      }
    );
  }

  async list(folder: string): Promise<readonly string[]> {
    const prefix = folder === '' || folder.endsWith('/') ? folder : `${folder}/`;
    const below = [...this.keys.keys()].filter((path) => path.startsWith(prefix));
    return [...new Set(below.map((path) => path.slice(prefix.length).replace(/\/.*$/, '/')))].toSorted();
  }

  async remove(path: string): Promise<void> {
    this.keys.delete(path);
    this.onRemove(path);
  }

  async lookupToken(): Promise<{ renewable: boolean; ttlSeconds: number }> {
    return { renewable: true, ttlSeconds: 3_600 };
  }
}

/** The same key-value store at the end of a network. */
export function distantVault(world: Surroundings, vault: Vault, isSealed: () => boolean): Vault {
  const call = <T>(operation: string, effect: () => Promise<T>): Promise<T> =>
    outside(world, {
      operation: `vault:${operation}`,
      refusal: () => new VaultUnreachableError('Vault answered 502'),
      loss: () => new VaultUnreachableError('Vault did not answer'),
      effect: () => {
        if (isSealed()) throw new VaultSealedError('Vault is sealed');
        return effect();
      },
    });
  return {
    readData: (path) => call('readData', () => vault.readData(path)),
    writeData: (path, data, cas) => call('writeData', () => vault.writeData(path, data, cas)),
    readMetadata: (path) => call('readMetadata', () => vault.readMetadata(path)),
    writeCustomMetadata: (path, custom) =>
      call('writeCustomMetadata', () => vault.writeCustomMetadata(path, custom)),
    readKey: (path) => call('readKey', () => vault.readKey(path)),
    list: (folder) => call('list', () => vault.list(folder)),
    remove: (path) => call('remove', () => vault.remove(path)),
    lookupToken: () => call('lookupToken', () => vault.lookupToken()),
  };
}
