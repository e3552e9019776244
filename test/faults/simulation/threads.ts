import { Worker } from 'node:worker_threads';
import type { Outcome, Plan } from './plan.ts';

/** The simulation itself broke: no finding about Keyturn. */
export class HarnessError extends Error {
  override readonly name = 'HarnessError';
}

type Answer = { readonly outcome: Outcome } | { readonly failure: string };

/** One thread that simulates. */
export class SimulationThread implements AsyncDisposable {
  readonly #worker: Worker;

  constructor(bundle: string) {
    this.#worker = new Worker(bundle);
  }

  run(plan: Plan): Promise<Outcome> {
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      const failed = (error: Error) => reject(new HarnessError(error.message));
      worker.once('error', failed);
      worker.once('message', (answer: Answer) => {
        worker.off('error', failed);
        if ('outcome' in answer) resolve(answer.outcome);
        else reject(new HarnessError(answer.failure));
      });
      worker.postMessage(plan);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Runs plans on several threads until one asks to stop, or there are no more. */
export async function runAll(
  bundle: string,
  threads: number,
  next: () => Plan | undefined,
  done: (plan: Plan, outcome: Outcome) => void,
): Promise<void> {
  const work = async () => {
    await using thread = new SimulationThread(bundle);
    for (let plan = next(); plan; plan = next()) done(plan, await thread.run(plan));
  };
  await Promise.all(Array.from({ length: threads }, work));
}
