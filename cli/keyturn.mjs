#!/usr/bin/env node
// The command: built JavaScript where the package has it, else the sources, which Node 24 runs as they are.
import { existsSync } from 'node:fs';

const built = new URL('../dist/cli/main.js', import.meta.url);
await import(existsSync(built) ? built.href : new URL('./main.ts', import.meta.url).href);
