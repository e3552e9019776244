/** Lambda didn't get to call the function, or its answer was lost: throttled, out of order, out of reach. Ask again later. */
export class FunctionNotReachedError extends Error {
  override readonly name = 'FunctionNotReachedError';
  readonly code: string;
  constructor(functionName: string, code: string) {
    super(`${functionName} was not reached: ${code}`);
    this.code = code;
  }
}

/** A function that was asked failed, and its own log says why. */
export class FunctionFailedError extends Error {
  override readonly name: string = 'FunctionFailedError';
  readonly functionName: string;
  /** Of the error that it ended with. */
  readonly errorClass: string;
  constructor(functionName: string, errorClass: string) {
    super(`${functionName} failed: ${errorClass}`);
    this.functionName = functionName;
    this.errorClass = errorClass;
  }
}

/** Lambda refuses to call it, as it will again: whoever asks may not, or there is no such function. */
export class FunctionRefusedError extends FunctionFailedError {
  override readonly name = 'FunctionRefusedError';
}
