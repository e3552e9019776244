import { expect, test } from 'vitest';
import { alternateOf, groupOf } from '../../../shared/rotators/postgres/names.ts';

test.each([
  ['billing_a', 'billing', 'billing_b'],
  ['billing_b', 'billing', 'billing_a'],
  ['billing', 'billing', 'billing_a'],
  ['billing_c', 'billing_c', 'billing_c_a'],
  ['a_b_a', 'a_b', 'a_b_b'],
  ['billing_a2', 'billing_a2', 'billing_a2_a'],
])('%s belongs to %s, and %s takes over from it', (username, group, alternate) => {
  expect(groupOf(username)).toBe(group);
  expect(alternateOf(username)).toBe(alternate);
});
