// `npm run schemas`: writes events/<name>/schema.json from the zod contracts.
import { writeFileSync } from 'node:fs';
import { contracts } from './contracts.ts';
import { jsonSchemaOf } from './json-schema.ts';

for (const [name, schema] of Object.entries(contracts)) {
  writeFileSync(new URL(`./${name}/schema.json`, import.meta.url), jsonSchemaOf(schema));
}
