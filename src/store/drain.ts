/**
 * Lets Kysely end what was begun: `destroy` waits until nobody has a connection or waits for one.
 *
 * Kysely asks a driver for a connection in the turn of the query, so that nothing is missed, once it has initialised it.
 */
import type { Driver, Kysely } from "kysely";

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

/** Initialises the driver by its first connection. */
export async function begin<T>(database: Kysely<T>): Promise<void> {
  await database.connection().execute(async () => {});
}
