import { freePort } from '../ports.ts';

/** Where the parts listen. `openBao` takes the port after it, too. */
export interface StackPorts {
  readonly aws: number;
  readonly ministack: number;
  readonly openBao: number;
  readonly postgres: number;
}

/**
 * Free ports, so that two clones run side by side; or five in a row from KEYTURN_PORT on, where somebody wants them known.
 *
 * @throws Error where KEYTURN_PORT isn't a port.
 */
export async function stackPorts(base: string | undefined): Promise<StackPorts> {
  if (base === undefined || base === '') {
    return {
      aws: await freePort(),
      ministack: await freePort(),
      openBao: await freePort({ next: true }),
      postgres: await freePort(),
    };
  }
  const first = Number(base);
  if (!Number.isInteger(first) || first < 1_024 || first > 65_530) {
    throw new Error('KEYTURN_PORT: expected a port from 1024 to 65530');
  }
  return { aws: first, ministack: first + 1, openBao: first + 2, postgres: first + 4 };
}
