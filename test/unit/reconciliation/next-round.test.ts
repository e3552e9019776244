import { expect, it } from 'vitest';
import { nextRound, reconcileRequest } from '../../../functions/reconcile-fleet/reconcile-fleet.ts';

const unfinished = { isFinished: false };

it('an hourly run that had not enough time is continued, as often as fits into the hour, and no more', () => {
  const rounds: number[] = [];
  let request = reconcileRequest.parse({ action: 'reconcile', isScheduled: true });
  for (;;) {
    rounds.push(request.round);
    const next = nextRound(request, unfinished);
    if (!next) break;
    request = reconcileRequest.parse(JSON.parse(JSON.stringify(next)));
  }
  expect(rounds).toEqual([1, 2, 3, 4]);
});

it("one that is done is not, nor is a person's command", () => {
  expect(nextRound({ isScheduled: true, round: 1 }, { isFinished: true })).toBeUndefined();
  expect(nextRound({ isScheduled: false, round: 1 }, unfinished)).toBeUndefined();
});
