import { expect, it } from 'vitest';
import { takingBack } from '../../../shared/provisioning/postgres/privileges.ts';

it("makes no statement of a kind that isn't known, and says what it is", () => {
  for (const kind of ['role membership', 'constructor', '__proto__']) {
    expect(() => takingBack({ kind, identity: 'x', grantee: 'billing_a' })).toThrow(
      expect.objectContaining({
        name: 'UnknownPrivilegeError',
        message: expect.stringContaining(`on ${kind} x`),
      }),
    );
  }
});

it('takes back everything on a thing of a kind that is known', () => {
  expect(takingBack({ kind: 'function', identity: 'app.f(integer)', grantee: 'billing' })).toEqual({
    line: '- billing: everything on function app.f(integer)',
    statements: ['REVOKE ALL ON ROUTINE app.f(integer) FROM "billing" CASCADE'],
  });
});
