import { inspect } from 'node:util';

/** The ways in which a secret could be written down: as it is, and as what carries it would encode it. */
export function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // A longer text that holds the secret encodes it at one of three offsets; the ends depend on what is around it.
  const inBase64 = [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    return encoded
      .slice(offset === 0 ? 0 : 4, 4 * Math.floor((offset + bytes.length) / 3))
      .replace(/=+$/, '');
  });
  const json = JSON.stringify(secret).slice(1, -1);
  const url = encodeURIComponent(secret);
  return [
    ...new Set([
      secret,
      json,
      JSON.stringify(json).slice(1, -1),
      url,
      url.replaceAll('%20', '+'),
      ...inBase64,
      ...inBase64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
      bytes.toString('hex'),
      bytes.toString('hex').toUpperCase(),
      secret.replaceAll("'", "''"),
      secret.replaceAll('"', '""'),
      [...bytes].join(','),
      [...secret].reverse().join(''),
    ]),
  ];
}

/** Everything that a reader of logs could see of an error: whatever a logger prints, and what a debugger would. */
export function shown(error: unknown): string {
  if (!(error instanceof Error)) return inspect(error, { depth: 20 });
  return [
    error.message,
    error.stack,
    JSON.stringify(error),
    inspect(error, { depth: 20, showHidden: true, maxStringLength: null, maxArrayLength: null }),
    error.cause === undefined ? '' : shown(error.cause),
  ].join('\n');
}

/** Which of the secrets a text holds, in whatever form; also where it was cut into chunks by quotes, commas and line ends. */
export function leaksOf(text: string, secrets: Readonly<Record<string, string>>): string[] {
  const joined = text.replace(/["',\s\\]+/g, '');
  return Object.entries(secrets).flatMap(([name, secret]) =>
    formsOf(secret).some((form) => text.includes(form) || joined.includes(form.replace(/["',\s\\]+/g, '')))
      ? name
      : [],
  );
}
