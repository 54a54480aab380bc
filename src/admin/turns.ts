/**
 * Requests of the API take turns: few at once, a line in front of them, and whoever finds it full is sent away. No number
 * of them takes the time or the memory that calls need.
 */
import { createSlots } from "../media/slots.ts";
import { busy } from "./errors.ts";

export interface Turns {
  /** Throws AdminError, 429, when the line is full or too slow. `client` ends the waiting of one that has gone. */
  take<T>(client: AbortSignal, work: () => Promise<T>): Promise<T>;
}

const LINE = 30;
const WAIT_MS = 10_000;

export function createTurns(places: number): Turns {
  const slots = createSlots({ places, line: LINE });
  return {
    async take(client, work) {
      const patience = AbortSignal.timeout(WAIT_MS);
      let leave: () => void;
      try {
        leave = await slots.take(AbortSignal.any([client, patience]));
      } catch (error) {
        throw patience.aborted || client.aborted ? busy() : error;
      }
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
