/**
 * The ledger: every call that is forwarded to Bedrock has a row, from before the first byte goes out.
 *
 * `open` resolves once the row is committed, so that neither a crash of the service nor of Envoy can lose a call;
 * `close` adds what it used. The first closing counts: the several ways in which an exchange can end may all close it.
 */
import type { CallClosing, CallOpening, CallStore } from "../store/store.ts";

export type { CallClosing, CallOpening, CallStatus, TokenUsage } from "../store/store.ts";

export interface Ledger {
  open(call: CallOpening): Promise<void>;
  close(id: string, closing: CallClosing): Promise<void>;
}

export function createLedger(calls: CallStore): Ledger {
  return {
    open: (call) => calls.open(call),
    close: (id, closing) => calls.close(id, closing),
  };
}
