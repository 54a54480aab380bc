/**
 * Closings that the database has not taken yet: kept in memory and tried again, every second or so, until it has.
 *
 * In the order in which they came, in groups. Closing a call twice changes nothing, so one of which nobody knows whether
 * it was written is simply written again. What the database refuses for good (StoreUnavailable is not that) is reported and
 * dropped: it must not hold up the others.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type CallClosing, type CallStore, StoreUnavailable } from "../store/store.ts";
import { within } from "./within.ts";

export interface ClosingQueue {
  /** Closings that wait, those included that are being written for a long time. */
  readonly size: number;
  /** The database could not be written the last time that it was tried. */
  readonly failing: boolean;
  add(closing: WaitingClosing): void;
  /** Tries at once and on, for at most `timeoutMs`, then never again. Resolves with how many are left. */
  drain(timeoutMs: number): Promise<number>;
}

export interface WaitingClosing {
  readonly id: string;
  readonly closing: CallClosing;
  /** What made it wait; undefined where the database is slow. */
  readonly error?: unknown;
  /** A write of it that is under way. */
  readonly written?: Promise<void>;
  /** Nobody knows whether the call's row was ever written: that there is none is no fault. */
  readonly perhapsUnopened?: boolean;
}

export interface ClosingQueueOptions {
  readonly calls: Pick<CallStore, "close">;
  readonly retryMs: number;
  /** 0 to 1: replicas that lost the same database do not come back to it at once. */
  readonly random: () => number;
  readonly onFault: (error: unknown, callId: string) => void;
  /** The first closing waits, for this reason. */
  readonly onWaiting: (error: unknown) => void;
  /** None waits any more. */
  readonly onWritten: () => void;
}

const GROUP = 100;
const DRAIN_RETRY_MS = 100;

interface Entry extends WaitingClosing {
  writing: boolean;
}

export function createClosingQueue(options: ClosingQueueOptions): ClosingQueue {
  const { calls, retryMs, random, onFault, onWaiting, onWritten } = options;
  const entries = new Map<string, Entry>();
  let failing = false;
  let ended = false;
  let timer: NodeJS.Timeout | undefined;

  function schedule(): void {
    if (timer !== undefined || entries.size === 0 || ended) return;
    // From 0.75 to 1.25 of the time.
    timer = setTimeout(retry, retryMs * (0.75 + random() / 2));
    timer.unref();
  }

  async function retry(): Promise<void> {
    await tryAll();
    timer = undefined;
    schedule();
  }

  /** One group after the other, until the database fails. */
  async function tryAll(): Promise<void> {
    const due = [...entries.values()].filter(({ writing }) => !writing);
    for (let start = 0; start < due.length; start += GROUP) {
      const group = due.slice(start, start + GROUP);
      await Promise.all(group.map((entry) => settle(entry, calls.close(entry.id, entry.closing))));
      if (failing) return;
    }
  }

  async function settle(entry: Entry, written: Promise<void>): Promise<void> {
    entry.writing = true;
    try {
      await written;
      failing = false;
      remove(entry);
    } catch (error) {
      entry.writing = false;
      failing = error instanceof StoreUnavailable;
      if (failing) return;
      if (!entry.perhapsUnopened) onFault(error, entry.id);
      remove(entry);
    }
  }

  function remove({ id }: Entry): void {
    entries.delete(id);
    if (entries.size === 0) onWritten();
  }

  return {
    get size() {
      return entries.size;
    },
    get failing() {
      return failing;
    },
    add(closing) {
      // The first closing of a call counts.
      if (entries.has(closing.id)) return;
      const entry: Entry = { ...closing, writing: false };
      entries.set(entry.id, entry);
      if (entries.size === 1) onWaiting(entry.error);
      if (entry.written === undefined) failing = true;
      else void settle(entry, entry.written);
      schedule();
    },
    async drain(timeoutMs) {
      ended = true;
      clearTimeout(timer);
      const deadline = performance.now() + timeoutMs;
      while (entries.size > 0) {
        const left = deadline - performance.now();
        if (left <= 0) break;
        await within(tryAll(), left);
        if (entries.size > 0) await sleep(Math.min(DRAIN_RETRY_MS, left));
      }
      return entries.size;
    },
  };
}
