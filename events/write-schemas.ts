// `npm run schemas`: writes events/<name>/schema.json from the zod contracts, and an agent's declaration's.
import { writeFileSync } from 'node:fs';
import { declaration } from '../shared/provisioning/declaration.ts';
import { contracts } from './contracts.ts';
import { jsonSchemaOf } from './json-schema.ts';

for (const [name, schema] of Object.entries(contracts)) {
  writeFileSync(new URL(`./${name}/schema.json`, import.meta.url), jsonSchemaOf(schema));
}
writeFileSync(
  new URL('../shared/provisioning/declaration.schema.json', import.meta.url),
  jsonSchemaOf(declaration),
);
