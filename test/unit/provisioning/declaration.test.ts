import { describe, expect, it } from 'vitest';
import { readDeclaration } from '../../../shared/provisioning/declaration.ts';
import { refuseSharing } from '../../../shared/provisioning/fleet.ts';

describe('a declaration', () => {
  it.each([
    ['keyturn/admin/db-AbCdEf', true],
    ['rds!db-1f2e-AbCdEf', true],
    ['agents/other/credentials-AbCdEf', false],
  ])("of a login names an admin's secret, and no agent's: %s: %s", (name, isOne) => {
    const adminSecretArn = `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${name}`;
    const declare = () =>
      readDeclaration({
        agentId: 'billing',
        postgres: { adminSecretArn, host: 'db.example', database: 'app' },
      });
    if (isOne) expect(declare().postgres).toMatchObject({ adminSecretArn });
    else expect(declare).toThrow("postgres.adminSecretArn: expected the ARN of an admin's secret");
  });

  it('needs an id alone, and rotates every 30 days with an hour of grace', () => {
    expect(readDeclaration({ agentId: 'billing' })).toMatchObject({
      secret: 'credentials',
      rotationDays: 30,
      grace: '1h',
      mirror: true,
    });
  });

  it.each([
    '*',
    'a*',
    '..',
    'a/../b',
    'a+',
    '+',
    'bіlling',
    'Billing',
    'billing\n',
    '-a',
    '',
    'admin',
    'a'.repeat(62),
  ])('refuses the agent id %j', (agentId) => {
    expect(() => readDeclaration({ agentId })).toThrow(/^agentId: /);
  });

  it.each([
    '*',
    'team/*',
    'team/+',
    '../admin',
    'team/../admin',
    'agents/admin/x',
    'infrastructure',
    'team//x',
    '/x',
  ])('refuses the Vault path %j', (path) => {
    expect(() => readDeclaration({ agentId: 'billing', vault: { kvPaths: [path] } })).toThrow(
      /^vault\.kvPaths\.0: /,
    );
  });

  it('refuses an unknown field by its name, and tells all that is wrong at once', () => {
    expect(() => readDeclaration({ agentId: 'billing', rotationDay: 3, grace: 'soon' })).toThrow(
      /grace: expected a whole number.*rotationDay/,
    );
  });

  it.each([
    [undefined, 'declaration: is missing: expected fields and their values'],
    [null, 'declaration: expected fields and their values'],
    [{ agentId: 'a', rotationDays: '30' }, 'rotationDays: expected a number'],
    [{ agentId: 'a', rotationDays: 1.5 }, 'rotationDays: expected a whole number'],
    [{ agentId: 'a', rotationDays: 0 }, 'rotationDays: expected at least 1'],
    [{ agentId: 'a'.repeat(62) }, 'agentId: expected at most 61 characters'],
    [{ agentId: 'a', mirror: 'yes' }, 'mirror: expected true or false'],
    [{ agentId: 'a', staticFields: 'key' }, 'staticFields: expected a list'],
    [
      { agentId: 'a', kubernetes: { namespace: 'n', audience: 'vault' } },
      'kubernetes.serviceAccount: is missing: expected text',
    ],
  ])('says in plain words what %j lacks', (declared, says) => {
    expect(() => readDeclaration(declared)).toThrow(says);
  });
});

describe('a fleet', () => {
  const agent = (agentId: string, more = {}) => readDeclaration({ agentId, ...more });

  it('of agents that share nothing is accepted', () => {
    expect(() =>
      refuseSharing([agent('billing', { vault: { kvPaths: ['team/billing'] } }), agent('search')]),
    ).not.toThrow();
  });

  it.each([
    ['a database role', { vault: { databaseRoles: ['orders'] } }, 'Vault database role orders'],
    ['a Vault path', { vault: { kvPaths: ['team/x'] } }, 'Vault path team/x'],
    [
      'a service account',
      { kubernetes: { serviceAccount: 'runner', namespace: 'prod', audience: 'vault' } },
      'Kubernetes service account prod/runner',
    ],
  ])('is refused where two agents share %s', (_, more, shared) => {
    expect(() => refuseSharing([agent('billing', more), agent('search', more)])).toThrow(
      `billing and search share ${shared}`,
    );
  });

  it('is refused where an id is declared twice', () => {
    expect(() => refuseSharing([agent('billing'), agent('billing')])).toThrow('share agent id billing');
  });

  it.each(['agents/search', 'agents/search/credentials'])(
    'is refused where one agent reads %s of another',
    (path) => {
      expect(() =>
        refuseSharing([agent('billing', { vault: { kvPaths: [path] } }), agent('search')]),
      ).toThrow(`billing reads Vault path ${path} of search`);
    },
  );

  it('is refused where one reads what bears the name of an agent that nobody declared', () => {
    expect(() => refuseSharing([agent('billing', { vault: { kvPaths: ['agents/legacy'] } })])).toThrow(
      'billing reads Vault path agents/legacy of another agent',
    );
    expect(() =>
      refuseSharing([agent('billing', { vault: { kvPaths: ['agents/billing/x'] } })]),
    ).not.toThrow();
  });

  it('is refused where a path is inside the path of another, or holds all agents', () => {
    const outer = agent('billing', { vault: { kvPaths: ['team'] } });
    const inner = agent('search', { vault: { kvPaths: ['team/search'] } });
    expect(() => refuseSharing([outer, inner])).toThrow('search reads Vault path team/search of billing');
    expect(() => refuseSharing([agent('billing', { vault: { kvPaths: ['agents'] } })])).toThrow(
      'more than its own',
    );
  });
});
