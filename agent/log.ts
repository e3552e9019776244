import { notifyListener } from './listener.ts';

/** Told of what goes amiss and is made up for: by the names of failures' classes, never by what a message or a secret held. */
export interface AgentLog {
  warn(message: string, fields: Readonly<Record<string, string>>): void;
}

/** Warns without letting the log's own failure through. */
export function warn(
  log: AgentLog | undefined,
  message: string,
  fields: Readonly<Record<string, string>>,
): void {
  if (log) notifyListener((said) => log.warn(message, said), fields);
}
