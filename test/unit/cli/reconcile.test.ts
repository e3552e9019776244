import { PassThrough, Writable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { terminal } from '../../../cli/output.ts';
import { reconcileCommand } from '../../../cli/reconcile.ts';
import { unstickCommand } from '../../../cli/unstick.ts';

const finding = (secret: string, outcome: string) => ({
  kind: 'rotation-overdue',
  secret,
  secretArn: `arn:${secret}`,
  agentId: 'a',
  explanation: 'its rotation was due at 2026-11-24T09:00:00.000Z',
  outcome,
});
const report = (findings: object[], isFinished = true) => ({
  secrets: 3,
  findings,
  unexamined: [],
  unexaminedKinds: [],
  isFinished,
});

function shell(answers: object[]) {
  const asked: object[] = [];
  const text: string[] = [];
  const stream = () => new Writable({ write: (chunk, _, done) => done(void text.push(String(chunk))) });
  const output = terminal({ stdin: new PassThrough(), stdout: stream(), stderr: stream() });
  const ask = async (_: unknown, request: object) => {
    asked.push(request);
    return answers.shift();
  };
  return { asked, output, ask, said: () => text.join('') };
}
afterEach(() => {
  process.exitCode = 0;
});

describe('keyturn reconcile', () => {
  const run = async (answers: object[], ...flags: string[]) => {
    const sh = shell(answers);
    await reconcileCommand(sh.ask, sh.output).parseAsync(flags, { from: 'user' });
    return { ...sh, code: Number(process.exitCode ?? 0) };
  };

  it('goes on until all of the fleet was looked at, and tells what every run repaired', async () => {
    const { asked, said, code } = await run([
      report([finding('one', 'repaired'), finding('two', 'waiting')], false),
      report([finding('two', 'repaired')]),
    ]);
    expect(asked).toHaveLength(2);
    expect(said()).toMatch(/one +rotation-overdue +repaired/);
    expect(said()).toMatch(/two +rotation-overdue +repaired/);
    expect(code).toBe(0);
  });

  it('says which kinds of findings could not be looked for, and exits with 3', async () => {
    const { said, code } = await run([{ ...report([]), unexaminedKinds: ['target-drifted'] }]);
    expect(said()).toContain("not looked for: target-drifted; the function's log says why");
    expect(code).toBe(3);
  });

  it('gives up where a run repaired nothing and is not finished', async () => {
    const { asked, said, code } = await run([report([finding('two', 'waiting')], false)]);
    expect(asked).toHaveLength(1);
    expect(said()).toContain('time ran out');
    expect(code).toBe(3);
  });

  it('ends with 3 where a person is needed, and with 0 where nothing is left', async () => {
    expect((await run([report([finding('one', 'needs a person')])])).code).toBe(3);
    process.exitCode = 0;
    expect((await run([report([])])).code).toBe(0);
  });

  it('passes on what is to be looked at, and that it is only to look', async () => {
    const { asked, code, said } = await run(
      [report([finding('one', 'waiting')])],
      '--dry-run',
      '--secret',
      'one',
    );
    expect(asked).toEqual([{ action: 'reconcile', dryRun: true, secrets: ['one'] }]);
    expect(said()).toContain('would be repaired');
    expect(code).toBe(3);
  });
});

describe('keyturn unstick', () => {
  const stuck = {
    secret: 'agents/a/credentials',
    isStuck: true,
    versionId: 'v',
    since: '2026-11-24T09:00:00.000Z',
    cause: 'cancelled',
    explanation: 'rotation was turned off while it ran',
    suggestion: 'abandon',
  };
  const run = async (answers: object[], ...flags: string[]) => {
    const sh = shell(answers);
    const done = unstickCommand(sh.ask, sh.output).parseAsync(['a', ...flags], { from: 'user' });
    return { ...sh, done };
  };

  it('does nothing where nobody can be asked and --yes is missing, and says what it would do', async () => {
    const { asked, done, said } = await run([stuck]);
    await expect(done).rejects.toThrow('say --yes');
    expect(asked).toEqual([{ action: 'unstick', secret: 'a', how: 'explain' }]);
    expect(said()).toContain('rotation was turned off while it ran');
  });

  it('does what the cause asks for, unless told otherwise', async () => {
    const ended = { ...stuck, outcome: 'repaired', more: [] };
    const advised = await run([stuck, ended], '--yes');
    await advised.done;
    expect(advised.asked[1]).toMatchObject({ how: 'abandon' });
    const told = await run([stuck, ended], '--yes', '--complete');
    await told.done;
    expect(told.asked[1]).toMatchObject({ how: 'complete' });
  });
});
