import { randomInt } from 'node:crypto';

const length = 32;
const classes = ['ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz', '0123456789'] as const;
const punctuation = '!#$%&()*+,-.;<=>?[]^_`{|}~';

/**
 * A password of 32 printable ASCII characters, at least one of each class: 206 bits. It leaves out what connection strings,
 * shells and AWS's own rules for database passwords trip over: `/ @ " ' \` and `:`, and the space.
 *
 * Whole passwords are drawn until one has every class, so that each such password is equally likely.
 */
export function generatePassword(random: (below: number) => number = randomInt): string {
  const alphabet = [...classes, punctuation].join('');
  for (;;) {
    const password = Array.from({ length }, () => alphabet[random(alphabet.length)]).join('');
    if ([...classes, punctuation].every((set) => [...password].some((character) => set.includes(character))))
      return password;
  }
}
