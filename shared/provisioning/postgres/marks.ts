import { identifier, literal } from '../../rotators/postgres/roles.ts';

/** The comment on a group that Keyturn made: any other role of that name is somebody else's. */
export const groupMark = (group: string) => `Agent ${group}, provisioned by Keyturn`;

/** Whether a role's comment says that it is this agent's, be it below what somebody else noted there. */
export const isMarked = (comment: string | null, group: string): boolean =>
  comment?.split('\n').at(-1) === groupMark(group);

/** The statement that notes on a role that it is this agent's. What somebody else noted there stays. */
export const marking = (role: string, group: string, comment: string | null): string =>
  `COMMENT ON ROLE ${identifier(role)} IS ${literal([comment, groupMark(group)].filter(Boolean).join('\n'))}`;
