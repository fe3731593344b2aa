import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { setTimeout as pause } from "node:timers/promises";
import { isPassing, isSurelyRefused, retryAfter } from "./errors.js";

const firstPause = 20;
const longestPause = 2000;

/** Errors of calls of which an earlier attempt may have been carried out. */
const unsure = new WeakSet<ConnectError>();

/** Whether a failed write may have been recorded all the same. */
export function mayBeRecorded(error: unknown): boolean {
  return !(error instanceof ConnectError) || unsure.has(error) || !isSurelyRefused(error);
}

/**
 * Sends a call again, the same bytes with the same ids, while the server does not
 * answer it and the call has time left. Only for services whose every call may be
 * sent twice. It ends when the client is closed.
 */
export const repeat = (closed: AbortSignal): Interceptor => (next) => async (request) => {
  if (request.stream) {
    return next(request);
  }
  let longest = firstPause;
  let lost = false;
  for (;;) {
    try {
      return await next(request);
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      lost ||= !isSurelyRefused(error);
      if (lost) {
        unsure.add(error);
      }
      if (request.signal.aborted || closed.aborted || !isPassing(error)) {
        throw error;
      }
      try {
        await pause(length(longest, error), undefined, { signal: request.signal });
      } catch {
        if (!lost) {
          throw error; // nothing was recorded, which this one says
        }
        throw new ConnectError(`gave up: ${error.rawMessage}`, Code.DeadlineExceeded, undefined, undefined, error);
      }
      longest = Math.min(2 * longest, longestPause);
    }
  }
};

/** How long to wait, in ms: as the server asks, and more. Half of it is random, so that clients cut off together do not come back together. */
function length(longest: number, error: ConnectError): number {
  return retryAfter(error) + longest / 2 + (Math.random() * longest) / 2;
}

/** Decides whether a stream that broke is asked for again: until nothing was heard for patience ms. */
export function resume(signal: AbortSignal, patience: number) {
  let longest = firstPause;
  let since = Date.now();
  return {
    heard(): void {
      longest = firstPause;
      since = Date.now();
    },
    /** Throws the error if it is for good. */
    async pause(thrown: unknown): Promise<void> {
      const error = ConnectError.from(thrown);
      const wait = length(longest, error);
      if (signal.aborted || !isPassing(error) || Date.now() + retryAfter(error) - since >= patience) {
        throw error;
      }
      try {
        await pause(wait, undefined, { signal });
      } catch {
        throw error;
      }
      longest = Math.min(2 * longest, longestPause);
    },
  };
}
