#!/usr/bin/env node
// The command: in a checkout its sources, which Node runs as they are; in the package, which has none, what was built of them.
import { existsSync } from 'node:fs';

const sources = new URL('main.ts', import.meta.url);
const built = new URL('../dist/cli/main.js', import.meta.url);
const { features, versions } = process;
const [major = 0] = versions.node.split('.').map(Number);
const main = [features.typescript ? sources : built, built].find(existsSync);

// Older ones know no AsyncDisposableStack, and would say so in the middle of a rotation.
if (major < 24) fail(`needs Node 24 or later; this is ${versions.node}`);
else if (!main) fail('is not built: "npm run build" in its folder does that');
else await import(main.href);

function fail(sentence) {
  console.error(`keyturn: ${sentence}.`);
  process.exitCode = 1;
}
