/** Callers for tests of limits and budgets: everything unlimited but what is given. */
import type { Caller } from "../../src/access/authenticate.ts";
import type { Key, Limits, Team } from "../../src/store/store.ts";

const UNLIMITED: Limits = {
  rpm: null,
  tpm: null,
  parallel: null,
  budget: null,
  softBudget: null,
  budgetPeriod: "month",
};

export function caller(key: Partial<Key> = {}, team: Partial<Team> | null = null): Caller {
  return {
    key: {
      ...UNLIMITED,
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
    team: team === null ? null : { ...UNLIMITED, name: "platform", note: null, createdAt: 0, ...team },
  };
}
