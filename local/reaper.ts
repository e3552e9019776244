// Ends what a killed parent left behind. It reads lines from its parent, `process PID`, `folder PATH` and `forget LINE`, and
// when they end, because the parent does, it kills the process groups and removes the folders that are still on its list.
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';

const left = new Set<string>();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);

for await (const line of createInterface({ input: process.stdin })) {
  if (line.startsWith('forget ')) left.delete(line.slice('forget '.length));
  else left.add(line);
}
for (const line of left) {
  if (!line.startsWith('process ')) continue;
  try {
    process.kill(-Number(line.slice('process '.length)), 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
for (const line of left) {
  if (line.startsWith('folder ')) rmSync(line.slice('folder '.length), { recursive: true, force: true });
}
