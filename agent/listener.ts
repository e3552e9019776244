import { errorClassOf } from '../shared/observability/error-class.ts';

/** Tells a listener, at once, without letting its failure through: an async one rejects where a plain one throws. */
export function notifyListener<Fact>(listener: (fact: Fact) => void, fact: Fact): void {
  const telling = async () => listener(fact);
  telling().catch((error: unknown) => {
    process.emitWarning(`A listener of the agent failed: ${errorClassOf(error)}`);
  });
}
