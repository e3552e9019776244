import {
  type AppliedDeclarations,
  DeclarationContendedError,
  type KnownDeclaration,
} from '../../../shared/provisioning/declarations-state.ts';

/** The state table's part of it, in memory. `each` is told of every write before it happens. */
export function inMemoryDeclarations(each: () => void = () => undefined): AppliedDeclarations {
  const records = new Map<string, KnownDeclaration>();
  return {
    read: async (agentId) => records.get(agentId),
    async write(next) {
      each();
      const { agentId } = next.declaration;
      const revision = records.get(agentId)?.revision ?? 0;
      if (revision !== next.revision) throw new DeclarationContendedError('Another run was first');
      records.set(agentId, { ...next, revision: revision + 1 });
    },
    async forget(agentId) {
      each();
      records.delete(agentId);
    },
    list: async () => ({ known: [...records.values()], unreadable: [] }),
  };
}
