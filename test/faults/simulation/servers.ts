import { SecretValue } from '../../../shared/credential/secret-value.ts';
import { scramVerifier } from '../../../shared/rotators/postgres/scram.ts';
import { outages } from './outages.ts';
import { PostgresModel } from './postgres-model.ts';
import type { ModelServer } from './postgres-wire.ts';
import { minute } from './virtual-time.ts';
import type { World } from './world.ts';

const secretsPerServer = 50;

/** The server of a secret, which it shares with its neighbours. */
export function serverOf(world: World, index: number): ModelServer & { readonly host: string } {
  const { servers, oracle } = world;
  const host = `db-${Math.floor(index / secretsPerServer)}.simulated`;
  const known = servers.get(host);
  if (known) return { host, ...known };
  const down = outages(world, `${host}/down`, 'target down', { every: 240 * minute, longest: 10 * minute });
  const hanging = outages(world, `${host}/hanging`, 'target hanging', {
    every: 300 * minute,
    longest: 4 * minute,
  });
  const full = outages(world, `${host}/full`, 'target full', { every: 300 * minute, longest: 5 * minute });
  const model = new PostgresModel();
  model.onChange = (role) => oracle.touched(role);
  model.refusesPasswords = outages(world, `${host}/policy`, 'password refused', {
    every: 400 * minute,
    longest: 10 * minute,
  });
  model.create('admin', { login: true, verifier: scramVerifier(SecretValue.of('admin-password')) });
  const state = () => (down() ? 'down' : hanging() ? 'hanging' : full() ? 'full' : 'up');
  model.isFull = () => state() === 'full';
  const server: ModelServer = { model, state };
  servers.set(host, server);
  return { host, ...server };
}
