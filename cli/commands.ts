import type { Command } from 'commander';

export interface CommandEntry {
  readonly name: string;
  /** What `keyturn --help` says of it. */
  readonly summary: string;
  /** Imports the command, and with it what it needs: only the one that is called is loaded. */
  readonly load: () => Promise<Command>;
}

/** Every command, in the order in which the help lists them. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'agent',
    summary: 'Serve secrets on this machine, and keep them up to date',
    load: async () => (await import('./agent.ts')).agentCommand(),
  },
];
