import { expect } from 'vitest';
import type { AlertMessage } from '../../../shared/notification/alert.ts';
import type { FindingsState } from '../../../shared/reconciliation/report-findings.ts';

/** How often on-call is told of a finding that a struck run came to. */
export function alertsOf(
  kind: string,
  { alerts, known }: { readonly alerts: readonly AlertMessage[]; readonly known: FindingsState['read'] },
) {
  let mayRepeat = 0;
  const told = () =>
    alerts.filter(({ backend, state }) => backend === `finding:${kind}` && state === 'found').length;
  const owed = async () => (await known(kind))?.outbox.length ?? 0;
  return {
    /** SNS can't be asked whether it has a message: one that it took, and that the table still owes, is sent again. */
    async striking(strike: () => Promise<unknown>) {
      const outcome = await strike().then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      if (told() > 0) mayRepeat = await owed();
      if (outcome) throw outcome.error;
    },
    /** `repairs`: one that died when it had repaired found it alone, and nothing is amiss any more that on-call could look at. */
    async expectTold({ repairs }: { readonly repairs: boolean }) {
      if (!repairs) expect(told(), `${kind}: alerts`).toBeGreaterThan(0);
      expect(told(), `${kind}: alerts`).toBeLessThanOrEqual(1 + mayRepeat);
      expect(await owed(), `${kind}: alerts that wait`).toBe(0);
    },
  };
}
