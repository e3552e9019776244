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
    name: 'status',
    summary: 'Show the fleet as a table: age, next rotation, version, adoption, mirror, grace, health',
    load: async () => (await import('./status.ts')).statusCommand(),
  },
  {
    name: 'rotate',
    summary: 'Rotate a secret now; --wait follows it until it is done',
    load: async () => (await import('./rotate.ts')).rotateCommand(),
  },
  {
    name: 'health',
    summary: 'Show the state of each backend, and the alerts that are not over',
    load: async () => (await import('./health.ts')).healthCommand(),
  },
  {
    name: 'tail',
    summary: 'Show events as they come, until Ctrl-C',
    load: async () => (await import('./tail.ts')).tailCommand(),
  },
  {
    name: 'doctor',
    summary: 'Check a deployment: permissions, rules, alerts, dead letters, Vault, key, clock',
    load: async () => (await import('./doctor.ts')).doctorCommand(),
  },
  {
    name: 'apply',
    summary: 'Make every system as the declarations in agents/*.yml say',
    load: async () => (await import('./apply.ts')).applyCommand(),
  },
  {
    name: 'provision',
    summary: 'Make an agent without a file: a login and its secret, with defaults',
    load: async () => (await import('./provision.ts')).provisionCommand(),
  },
  {
    name: 'deprovision',
    summary: 'Take everything from an agent, its access first, and report what was cut and when',
    load: async () => (await import('./deprovision.ts')).deprovisionCommand(),
  },
  {
    name: 'agent',
    summary: 'Serve secrets on this machine, and keep them up to date',
    load: async () => (await import('./agent.ts')).agentCommand(),
  },
  {
    name: 'reconcile',
    summary: 'Find what drifted or got stuck in the fleet, and repair it',
    load: async () => (await import('./reconcile.ts')).reconcileCommand(),
  },
  {
    name: 'drift',
    summary: 'Show how the mirrors in Vault stand beside their secrets, and repair them',
    load: async () => (await import('./drift.ts')).driftCommand(),
  },
  {
    name: 'redrive',
    summary: 'Deliver what was given up again, once its cause is mended',
    load: async () => (await import('./redrive.ts')).redriveCommand(),
  },
  {
    name: 'unstick',
    summary: 'Explain what a rotation is stuck at, and end it',
    load: async () => (await import('./unstick.ts')).unstickCommand(),
  },
];
