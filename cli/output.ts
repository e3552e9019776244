import type { Readable, Writable } from 'node:stream';
import picocolors from 'picocolors';
import { CalledWronglyError, exit, InterruptedError } from './exit.ts';
import { table } from './table.ts';

/** `print` is for the result, which a pipe may read; everything that is said to a person goes to stderr. */
export interface Output {
  /** A line of the result, on stdout. */
  print(line: string): void;
  /** Rows of the result, on stdout: columns, or where a terminal is too narrow for them, paragraphs. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  /** Makes room for what is shown again and again, on a terminal. */
  clear(): void;
  /** The result for a machine, on stdout: one document, indented. */
  json(document: object): void;
  /** A line of a stream for a machine, on stdout: one document a line. */
  jsonLine(document: object): void;
  /** A remark, on stderr. */
  say(line: string): void;
  /** Only where stdout is a terminal that has colours; NO_COLOR turns them off. */
  readonly colors: ReturnType<typeof picocolors.createColors>;
  /** Whether somebody is there to be asked, and to watch something turn. */
  readonly isInteractive: boolean;
  /** Says what goes on while `work` runs: a spinner for a person, nothing for a pipe. `say` changes the words. */
  during<T>(words: string, work: (say: (words: string) => void) => Promise<T>): Promise<T>;
  /**
   * Asks before something dangerous. `yes` answers it; without a terminal and without `yes` it refuses.
   *
   * @throws CalledWronglyError where it may not be done.
   * @throws InterruptedError at Ctrl-C.
   */
  confirm(question: string, options: { readonly yes: boolean }): Promise<void>;
}

/** The streams of a process, of which a terminal says so. */
export interface Streams {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number; hasColors?(): boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

/** The output of this process. */
export function terminal({ stdin, stdout, stderr }: Streams = process): Output {
  const isInteractive = stdin.isTTY === true && stderr.isTTY === true;
  return {
    print: (line) => stdout.write(`${line}\n`),
    table: (head, rows) => stdout.write(`${table(head, rows, stdout.columns)}\n`),
    clear: () => void (stdout.isTTY === true && stdout.write('\u001b[2J\u001b[H')),
    json: (document) => stdout.write(`${JSON.stringify(document, undefined, 2)}\n`),
    jsonLine: (document) => stdout.write(`${JSON.stringify(document)}\n`),
    say: (line) => stderr.write(`${line}\n`),
    // hasColors knows NO_COLOR and TERM=dumb; picocolors by itself would colour a pipe in CI.
    colors: picocolors.createColors(stdout.isTTY === true && stdout.hasColors?.() === true),
    isInteractive,
    async during(words, work) {
      if (!isInteractive) return work(() => undefined);
      const { spinner } = await import('@clack/prompts');
      const turning = spinner({
        output: stderr,
        withGuide: false,
        onCancel: () => process.exit(exit.interrupted),
      });
      // It ends the process with 0 at Ctrl-C, as if all were done.
      const interrupted = () => {
        process.exitCode = exit.interrupted;
      };
      process.once('exit', interrupted);
      turning.start(words);
      try {
        return await work((now) => turning.message(now));
      } finally {
        turning.clear();
        process.off('exit', interrupted);
      }
    },
    async confirm(question, { yes }) {
      if (yes) return;
      if (!isInteractive) {
        throw new CalledWronglyError(`${question} Nobody can be asked here: say --yes. Nothing was changed`);
      }
      const { confirm, isCancel } = await import('@clack/prompts');
      const answer = await confirm({
        message: question,
        initialValue: false,
        output: stderr,
        withGuide: false,
      });
      if (isCancel(answer)) throw new InterruptedError('interrupted: nothing was changed');
      if (!answer) throw new CalledWronglyError('not confirmed: nothing was changed');
    },
  };
}
