/**
 * The ledger: every call that is forwarded to Bedrock has a row, from before the first byte goes out.
 *
 * `open` resolves once the row is committed, so that neither a crash of the service nor of Envoy can lose a call;
 * `close` adds what it used. The first closing counts: the several ways in which an exchange can end may all close it.
 *
 * An answer is never held up by the database for longer than `patienceMs`: then its closing waits in memory until it can
 * be written. While the database can't be written nothing is opened, and so nothing is forwarded that can't be counted.
 */
import {
  type CallClosing,
  type CallOpening,
  type CallStore,
  type OpenedCall,
  StoreConflict,
  StoreUnavailable,
} from "../store/store.ts";
import { createClosingQueue } from "./closing-queue.ts";
import { NO_USAGE } from "./meter.ts";
import { LATE, within } from "./within.ts";

export type { CallClosing, CallOpening, CallStatus, TokenUsage } from "../store/store.ts";

export interface Ledger {
  /** Closings that the database has not taken yet. */
  readonly waiting: number;
  /** The database took no row when it was last asked. */
  readonly failing: boolean;
  /**
   * Rejects with StoreUnavailable, at once where closings already wait for a database that is lost; with StoreConflict where
   * the id is another call's.
   */
  open(call: CallOpening): Promise<OpenedCall>;
  /** Resolves when the row is committed or its closing waits. Rejects when no database would take it. */
  close(id: string, closing: CallClosing): Promise<void>;
  /** On shutdown: tries to write what waits, for at most `timeoutMs`. Resolves with how many closings are left. */
  drain(timeoutMs: number): Promise<number>;
}

export interface LedgerOptions {
  readonly now?: () => number;
  readonly random?: () => number;
  /** How long a closing may hold up an answer. */
  readonly patienceMs?: number;
  readonly openTimeoutMs?: number;
  readonly retryMs?: number;
  /** With so many closings waiting nothing more is opened; calls that run find their place all the same. */
  readonly maxWaiting?: number;
  /** A closing that had to wait was refused for good. */
  readonly onFault?: (error: unknown, callId: string) => void;
  /** The database became slow or was lost: the first closing waits. The reason is undefined where it is only slow. */
  readonly onWaiting?: (error: unknown) => void;
  /** All of them are written. */
  readonly onWritten?: () => void;
}

export function createLedger(calls: CallStore, options: LedgerOptions = {}): Ledger {
  const { now = Date.now, random = Math.random, patienceMs = 1_000, openTimeoutMs = 5_000 } = options;
  const { retryMs = 1_000, maxWaiting = 100_000 } = options;
  const { onFault = () => {}, onWaiting = () => {}, onWritten = () => {} } = options;
  const queue = createClosingQueue({ calls, retryMs, random, onFault, onWaiting, onWritten });
  const closings = new Set<Promise<void>>();
  /** Ids of calls that run. */
  const running = new Set<string>();

  /** The row may have been written although nobody heard of it: then it must not stay open for a call that never was. */
  function neverForwarded(id: string): void {
    queue.add({
      id,
      closing: {
        status: "error",
        httpStatus: 503,
        errorCode: "unavailable",
        usage: NO_USAGE,
        estimated: false,
        cost: 0n,
        finishedAt: now(),
      },
      perhapsUnopened: true,
    });
  }

  async function lateOpening(id: string, opening: Promise<OpenedCall>): Promise<void> {
    const { opened } = await opening.catch((error: unknown) => ({ opened: error instanceof StoreUnavailable }));
    if (opened) neverForwarded(id);
  }

  async function openInTime(call: CallOpening): Promise<OpenedCall> {
    const opening = calls.open(call);
    let opened: OpenedCall | typeof LATE;
    try {
      opened = await within(opening, openTimeoutMs);
    } catch (error) {
      if (error instanceof StoreUnavailable) neverForwarded(call.id);
      throw error;
    }
    if (opened !== LATE) return opened;
    void lateOpening(call.id, opening);
    throw new StoreUnavailable(`the database took longer than ${openTimeoutMs} ms to open a call`);
  }

  async function write(id: string, closing: CallClosing): Promise<void> {
    if (queue.failing) return queue.add({ id, closing });
    const written = calls.close(id, closing);
    try {
      if ((await within(written, patienceMs)) === LATE) queue.add({ id, closing, written });
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      queue.add({ id, closing, error });
    }
  }

  return {
    get waiting() {
      return queue.size;
    },
    get failing() {
      return queue.failing;
    },
    async open(call) {
      if (queue.failing || queue.size >= maxWaiting) {
        throw new StoreUnavailable(`${queue.size} calls wait for the database to be closed in`);
      }
      // The store would take it for the first one, asked for again, and both would share a row.
      if (running.has(call.id)) throw new StoreConflict(`call ${call.id} runs already`);
      running.add(call.id);
      let opened = false;
      try {
        const outcome = await openInTime(call);
        opened = outcome.opened;
        return outcome;
      } finally {
        if (!opened) running.delete(call.id);
      }
    },
    close(id, closing) {
      running.delete(id);
      const closed = write(id, closing).finally(() => closings.delete(closed));
      closings.add(closed);
      return closed;
    },
    async drain(timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      await within(Promise.allSettled(closings), timeoutMs);
      return queue.drain(deadline - performance.now());
    },
  };
}
