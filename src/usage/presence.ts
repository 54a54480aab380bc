/**
 * A gateway process's sign of life, for those that share its database: as long as it gives one, its open calls are its
 * own. Written before the first call is opened, renewed every few seconds.
 */
import type { Instance, InstanceStore } from "../store/store.ts";
import { type Repeated, repeat } from "./repeat.ts";

export interface PresenceOptions {
  readonly instances: InstanceStore;
  readonly self: Omit<Instance, "seenAt">;
  readonly now: () => number;
  readonly onFault: (error: unknown) => void;
  readonly everyMs?: number;
}

const EVERY_MS = 5_000;

/** Resolves with the first sign written; rejects when it can't be. Closing it takes the process off the list. */
export async function startPresence(options: PresenceOptions): Promise<Repeated> {
  const { instances, self, now, onFault, everyMs = EVERY_MS } = options;
  const sign = () => instances.seen({ ...self, seenAt: now() });
  await sign();
  const repeated = repeat({ everyMs, work: sign, onFault });
  return {
    async close() {
      await repeated.close();
      try {
        await instances.remove(self.id);
      } catch (error) {
        onFault(error);
      }
    },
  };
}
