// npm run bench [-- --json FILE]: the figures that Keyturn is held to, side by side in one run.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import * as z from 'zod';
import { root } from '../local/root.ts';
import { applying } from './apply.ts';
import { bundled } from './bundle.ts';
import { cachedGet } from './cached-get.ts';
import type { Figure } from './figure.ts';
import { helpTime } from './help-time.ts';
import { importTimes } from './import-time.ts';
import { reconciliation } from './reconcile.ts';
import { reconcilingMirrors } from './reconcile-mirrors.ts';
import { sidecarLoad } from './sidecar.ts';
import { statusOfTenThousand } from './status.ts';

const report = z.object({
  rotations: z.number(),
  queries: z.object({ total: z.number(), failed: z.number() }),
  propagationMs: z.object({ p99: z.number() }),
  secretsManagerCallsPerRotation: z.number(),
});

const { values } = parseArgs({ options: { json: { type: 'string' } } });
const folder = mkdtempSync(join(tmpdir(), 'keyturn-bench-'));
const figures = [
  ...(await bundles()),
  ...(await cachedGet()),
  ...(await sidecarLoad()),
  ...(await reconciliation()),
  ...(await reconcilingMirrors()),
  ...(await statusOfTenThousand()),
  ...(await applying()),
  ...(await helpTime()),
  ...underLoad(),
];
const table = new Table({ head: ['Figure', 'Value', 'Goal', 'Holds'], style: { head: [] } });
for (const { name, value, unit, goal, holds } of figures)
  table.push([name, `${value} ${unit}`, goal, holds ? 'yes' : 'NO']);
console.log(table.toString());
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
// What was measured may keep connections open.
process.exit(figures.every(({ holds }) => holds) ? 0 : 1);

async function bundles(): Promise<readonly Figure[]> {
  const subjects = [
    { name: 'rotate-secret', atMostKb: 700, clients: ['secrets-manager', 'eventbridge'] },
    { name: 'invalidate-caches', atMostKb: 400, clients: ['secrets-manager', 'sns'] },
  ];
  const figures: Figure[] = [];
  for (const { name, atMostKb, clients } of subjects) {
    const bundle = join(folder, `${name}.mjs`);
    const bare = join(folder, `${name}.bare.mjs`);
    const bytes = await bundled({ file: `functions/${name}/handler.ts` }, bundle);
    const imports = clients.map((client, index) => `import * as c${index} from '@aws-sdk/client-${client}';`);
    const made = `for (const [name, Client] of [${clients.map((_, index) => `...Object.entries(c${index})`).join(', ')}]) if (name.endsWith('Client')) new Client({});`;
    await bundled({ source: [...imports, made].join('\n') }, bare);
    const [own = Number.NaN, sdk = Number.NaN] = importTimes([bundle, bare], {
      AWS_REGION: 'eu-central-1',
      EVENT_BUS_NAME: 'bus',
      INVALIDATION_TOPIC_ARN: 'topic',
    });
    const kb = Math.round(bytes / 1_000);
    figures.push(
      {
        name: `Bundle of ${name}, minified`,
        value: kb,
        unit: 'kB',
        goal: `<= ${atMostKb}`,
        holds: kb <= atMostKb,
      },
      {
        name: `Import of ${name} beside its bare SDK clients`,
        value: Number((own / sdk).toFixed(2)),
        unit: 'times',
        goal: 'shown',
        holds: true,
      },
    );
  }
  return figures;
}

/** The tour with 60 rotations asked for by hand, under the load of its three agents. */
function underLoad(): readonly Figure[] {
  const file = join(folder, 'report.json');
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'local/tour/main.ts'), '--rotations', '60', '--report', file],
    { stdio: 'inherit' },
  );
  if (status !== 0) throw new Error('The tour failed: its figures mean nothing');
  const { rotations, queries, propagationMs, secretsManagerCallsPerRotation } = report.parse(
    JSON.parse(readFileSync(file, 'utf8')),
  );
  const calls = secretsManagerCallsPerRotation;
  const p99 = Math.round(propagationMs.p99);
  return [
    {
      name: 'Secrets Manager calls a rotation',
      value: calls,
      unit: 'calls',
      goal: '<= 9',
      holds: calls > 0 && calls <= 9,
    },
    {
      name: `Failed of ${queries.total} queries over ${rotations} rotations`,
      value: queries.failed,
      unit: 'queries',
      goal: '0',
      holds: queries.failed === 0 && rotations >= 60,
    },
    { name: 'Propagation, p99', value: p99, unit: 'ms', goal: '< 2000', holds: p99 < 2_000 },
  ];
}
