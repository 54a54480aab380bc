/** Lets a Kysely driver end what was begun: its `destroy` waits until nobody has a connection or waits for one. */
import type { Driver } from "kysely";

export function draining(driver: Driver): Driver {
  let used = 0;
  let onUnused: (() => void) | undefined;

  function leave(): void {
    used--;
    if (used === 0) onUnused?.();
  }

  return {
    init: () => driver.init(),
    async acquireConnection() {
      used++;
      try {
        return await driver.acquireConnection();
      } catch (error) {
        leave();
        throw error;
      }
    },
    beginTransaction: (connection, settings) => driver.beginTransaction(connection, settings),
    commitTransaction: (connection) => driver.commitTransaction(connection),
    rollbackTransaction: (connection) => driver.rollbackTransaction(connection),
    async releaseConnection(connection) {
      await driver.releaseConnection(connection);
      leave();
    },
    async destroy() {
      if (used > 0) await new Promise<void>((resolve) => (onUnused = resolve));
      await driver.destroy();
    },
  };
}
