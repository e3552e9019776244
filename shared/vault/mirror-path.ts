import { MirrorPathError } from './mirror-errors.ts';

/**
 * Checks the tag `keyturn:mirror`. Only plain characters pass, so '..', '%2e', '+' and '*' have nothing to be decoded from.
 *
 * @example mirrorPath('agents/a1/credentials', 'a1'); // 'agents/a1/credentials'
 */
export function mirrorPath(tag: string, agentId: string): string {
  const segments = tag.split('/');
  const plain = segments.every((segment) => /^[A-Za-z0-9_.@=-]+$/.test(segment) && !/^\.+$/.test(segment));
  if (!plain || segments.length < 3 || segments[0] !== 'agents' || segments[1] !== agentId) {
    throw new MirrorPathError('Tag keyturn:mirror: expected a plain path inside agents/{agent_id}/');
  }
  return tag;
}
