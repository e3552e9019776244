/** What stands at a place of a text, as one way to read it has it: a character, and how much of the text is taken up by it. */
type Reading = readonly [char: string, length: number];

/** Words that begin with the same few characters, by the next one; where those are all, by what is left of each. */
interface Beginning {
  readonly next: Map<string, Beginning>;
  readonly rests: (readonly string[])[];
}

/** With so many characters, a place where hardly anything begins is told from the others. */
const BEGINNING_LENGTH = 3;
/** In JSON, or in JSON in JSON: `\n` or `\\n`. */
const ESCAPE = /\\{1,3}(?:(["'/bfnrt])|u([dD][89abAB]..)\\{1,3}u([dD][c-fC-F]..)|u([\da-fA-F]{4}))/y;
const ESCAPED: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };
const BACKSLASHES = ['\\\\', '\\\\\\\\'];
const [BACKSLASH, PERCENT] = [0x5c, 0x25];
/** Made once, for it is what most of a text is read by. */
const ASCII: readonly (readonly Reading[])[] = Array.from({ length: 0x80 }, (_, code) => {
  const char = String.fromCharCode(code);
  return char === '+' ? [plain('+'), plain(' ')] : [plain(char)];
});
const PERCENT_ENCODED = /(?:%[\da-f]{2}){1,4}/iy;

/**
 * Words to be found in a text, whatever ways its characters are encoded in: as they are, percent-encoded, as `+` for a space or
 * escaped as in JSON, in either case, and each in another way. It goes through the text once, however many the words are.
 */
export class Needles {
  readonly #all: Beginning = { next: new Map(), rests: [] };

  constructor(words: Iterable<string>) {
    for (const word of new Set(words)) this.#add([...word.toWellFormed()]);
  }

  /** The text with all that is a part of a word replaced, also where words overlap. */
  replaced(text: string, by: string): string {
    // Whoever encodes half of a surrogate pair puts the same character in its place.
    const read = text.toWellFormed();
    let replaced = '';
    let end = 0;
    for (let at = 0; at < read.length; at += 1) {
      const wordEnd = farthestEnd(read, at, this.#all);
      if (wordEnd > at && at >= end) replaced += text.slice(end, at) + by;
      end = Math.max(end, wordEnd);
    }
    return replaced + text.slice(end);
  }

  #add(chars: readonly string[]): void {
    let beginning = this.#all;
    for (const char of chars.slice(0, BEGINNING_LENGTH)) {
      const longer = beginning.next.get(char) ?? { next: new Map(), rests: [] };
      beginning.next.set(char, longer);
      beginning = longer;
    }
    beginning.rests.push(chars.slice(BEGINNING_LENGTH));
  }
}

/** Where the longest of the words ends that go on at this place; 0 where none does. */
function farthestEnd(text: string, at: number, { next, rests }: Beginning): number {
  let end = 0;
  for (const rest of rests) end = Math.max(end, endOf(text, at, rest));
  for (const [char, length] of readingsAt(text, at)) {
    const longer = next.get(char);
    if (longer) end = Math.max(end, farthestEnd(text, at + length, longer));
  }
  return end;
}

/** Where these characters end, read in the way that takes the most of the text; 0 where none gives them. */
function endOf(text: string, from: number, chars: readonly string[]): number {
  let places = new Set([from]);
  for (const char of chars) {
    const after = new Set<number>();
    for (const at of places) {
      for (const [read, length] of readingsAt(text, at)) if (read === char) after.add(at + length);
    }
    if (after.size === 0) return 0;
    places = after;
  }
  return Math.max(...places);
}

function readingsAt(text: string, at: number): readonly Reading[] {
  const unit = text.charCodeAt(at);
  if (unit === PERCENT) return [plain('%'), ...percentEncodedAt(text, at)];
  if (unit === BACKSLASH) return [plain('\\'), ...escapedAt(text, at)];
  if (at >= text.length) return [];
  return ASCII[unit] ?? [plain(String.fromCodePoint(text.codePointAt(at) ?? unit))];
}

function plain(char: string): Reading {
  return [char, char.length];
}

function percentEncodedAt(text: string, at: number): readonly Reading[] {
  PERCENT_ENCODED.lastIndex = at;
  const [encoded] = PERCENT_ENCODED.exec(text) ?? [];
  if (encoded === undefined) return [];
  const bytes = Buffer.from(encoded.replaceAll('%', ''), 'hex');
  const [first = 0] = bytes;
  const length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return [[bytes.toString('utf8', 0, length), length * '%00'.length]];
}

function escapedAt(text: string, at: number): readonly Reading[] {
  const doubled = BACKSLASHES.filter((escaped) => text.startsWith(escaped, at));
  const readings = doubled.map((escaped): Reading => ['\\', escaped.length]);
  ESCAPE.lastIndex = at;
  const [all = '', named, high, low, single] = ESCAPE.exec(text) ?? [];
  if (named !== undefined) return [...readings, [ESCAPED[named] ?? named, all.length]];
  const units = [high, low, single].flatMap((hex) => (hex === undefined ? [] : Number.parseInt(hex, 16)));
  if (units.length === 0) return readings;
  return [...readings, [String.fromCharCode(...units).toWellFormed(), all.length]];
}
