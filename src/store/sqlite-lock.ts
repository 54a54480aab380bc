/**
 * Whose turn it is on the one write connection to SQLite.
 *
 * A transaction that spans several turns of the event loop has the connection for itself: whatever else ran on it meanwhile
 * would become part of it. What runs in one turn needs no lock, it only waits until there is none.
 */
export interface ConnectionLock {
  readonly owner: object | undefined;
  /** Takes the lock, which must be free. */
  take(owner: object): void;
  /** Gives it back; nothing when somebody else has it. */
  release(owner: object): void;
  /** Resolves when the lock was given back, at once when it is free. Somebody else may be quicker: look at `owner` again. */
  free(): Promise<void>;
}

export function createConnectionLock(): ConnectionLock {
  let current: { readonly owner: object; readonly released: PromiseWithResolvers<void> } | undefined;
  return {
    get owner() {
      return current?.owner;
    },
    take(owner) {
      if (current !== undefined) throw new Error("the connection is taken already");
      current = { owner, released: Promise.withResolvers() };
    },
    release(owner) {
      if (current?.owner !== owner) return;
      const { released } = current;
      current = undefined;
      released.resolve();
    },
    free: async () => current?.released.promise,
  };
}
