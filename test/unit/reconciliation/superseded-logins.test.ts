import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { supersededLogins } from '../../../shared/reconciliation/superseded-logins.ts';
import type { TargetLogin } from '../../../shared/rotators/rotator.ts';
import { fleetSecret } from '../fleet/fleet-secret.ts';

const login = (name: string, versionId?: string, server = 'one:5432'): TargetLogin => ({
  server,
  name,
  group: name.replace(/_[ab]$/, ''),
  versionId,
});
const billing = fleetSecret('billing', { two: ['AWSCURRENT'], one: ['AWSPREVIOUS'], three: ['AWSPENDING'] });
const found = (logins: readonly TargetLogin[]) =>
  supersededLogins([billing], logins).superseded.map((each) => each.login);

describe('the logins that a target takes beside the current one', () => {
  it('are superseded: the twin, one that no rotation marked, and the login that was there before twins', () => {
    expect(found([login('billing_b', 'two'), login('billing_a', 'one')])).toEqual(['billing_a']);
    expect(found([login('billing_b', 'two'), login('billing_a')])).toEqual(['billing_a']);
    expect(found([login('billing_b', 'two'), login('billing')])).toEqual(['billing']);
  });

  it('are not, where a rotation under way has just given them its version', () => {
    expect(found([login('billing_b', 'two'), login('billing_a', 'three')])).toEqual([]);
  });

  it('are none, where they belong to another server, another group, or to no secret of the fleet', () => {
    expect(found([login('billing_b', 'two'), login('billing_a', 'one', 'other:5432')])).toEqual([]);
    expect(found([login('billing_b', 'two'), login('search_a', 'one')])).toEqual([]);
    expect(found([login('people_a'), login('people_b', 'nine')])).toEqual([]);
  });

  it('never include one that holds a current or a pending version', () => {
    const ids = ['v1', 'v2', 'v3', 'v4', 'v5', 'v6'] as const;
    const anyLogin = fc
      .record({
        name: fc.constantFrom('x', 'x_a', 'x_b', 'y', 'y_a', 'y_b'),
        versionId: fc.option(fc.constantFrom(...ids), { nil: undefined }),
        server: fc.constantFrom('one', 'two'),
      })
      .map(({ name, versionId, server }) => login(name, versionId, server));
    const fleet = [
      fleetSecret('x', { v1: ['AWSCURRENT'], v2: ['AWSPENDING'], v3: ['AWSPREVIOUS'] }),
      fleetSecret('y', { v4: ['AWSCURRENT', 'AWSPENDING'], v5: ['AWSPREVIOUS'] }),
    ];
    const key = ({ server, name }: TargetLogin) => `${server} ${name}`;
    fc.assert(
      fc.property(fc.uniqueArray(anyLogin, { selector: key }), (logins) => {
        for (const { secret, login: name } of supersededLogins(fleet, logins).superseded) {
          const kept = Object.keys(secret.stages).filter((id) =>
            secret.stages[id]?.some((stage) => stage !== 'AWSPREVIOUS'),
          );
          const held = logins.filter((each) => each.name === name).map(({ versionId }) => versionId);
          expect(held.some((versionId) => versionId === undefined || !kept.includes(versionId))).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
