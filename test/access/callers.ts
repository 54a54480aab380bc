/** Callers for tests of limits and budgets: everything unlimited but what is given. */
import type { Caller } from "../../src/access/authenticate.ts";
import { type Key, NO_LIMITS, type Team } from "../../src/store/store.ts";

export function caller(key: Partial<Key> = {}, team: Partial<Team> | null = null): Caller {
  return {
    key: {
      ...NO_LIMITS,
      id: "key_1",
      name: "alice",
      owner: null,
      team: team === null ? null : (team.name ?? "platform"),
      tags: [],
      note: null,
      prefix: "sk-abc",
      models: [],
      expiresAt: null,
      blockedAt: null,
      createdAt: 0,
      createdBy: null,
      revokedAt: null,
      lastUsedAt: null,
      ...key,
    },
    team: team === null ? null : { ...NO_LIMITS, name: "platform", note: null, createdAt: 0, ...team },
  };
}
