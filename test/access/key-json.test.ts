import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  keyJson,
  keySettingsFrom,
  parseBudget,
  settingsJson,
  teamJson,
  teamSettingsFrom,
} from "../../src/access/key-json.ts";
import { KeyInputError } from "../../src/access/key-settings.ts";
import { completeSettings } from "../../src/access/keys.ts";
import type { Key } from "../../src/store/store.ts";

const NOW = 1_800_000_000_000;
const USD = 10n ** 12n;

const KEY: Key = {
  ...completeSettings({
    ...{ name: "alice", owner: "a@example.com", team: "core", tags: ["web"], note: "hm", models: ["gpt-4o"] },
    ...{ expiresAt: NOW + 1, rpm: 1, tpm: 2, parallel: 3, budget: 50n * USD, softBudget: 1_000_000n },
  }),
  ...{ id: "key_0", prefix: "sk-abcde", blockedAt: null, createdAt: NOW - 1, createdBy: "admin" },
  ...{ revokedAt: null, lastUsedAt: null },
};

describe("keyJson", () => {
  it("shows money as decimals in USD and times in ISO 8601", () => {
    assert.deepEqual(keyJson(KEY, NOW), {
      ...{ id: "key_0", name: "alice", prefix: "sk-abcde", status: "active", owner: "a@example.com", team: "core" },
      ...{ tags: ["web"], note: "hm", models: ["gpt-4o"], rpm: 1, tpm: 2, parallel: 3, budget_usd: "50" },
      ...{ soft_budget_usd: "0.000001", budget_period: "month", expires_at: "2027-01-15T08:00:00.001Z" },
      ...{ created_at: "2027-01-15T07:59:59.999Z", created_by: "admin", blocked_at: null, revoked_at: null },
      last_used_at: null,
    });
    assert.equal(keyJson({ ...KEY, blockedAt: NOW }, NOW).blocked_at, "2027-01-15T08:00:00.000Z");
  });

  it("can be read back", () => {
    const { id: _, ...settings } = { ...completeSettings(KEY), id: "" };
    const json = JSON.parse(JSON.stringify(settingsJson(KEY)));
    assert.deepEqual(keySettingsFrom(json), keySettingsFrom(settingsJson(settings)));
    assert.deepEqual(settingsJson(completeSettings({ name: "", ...keySettingsFrom(json) })), json);
  });
});

describe("teamJson", () => {
  it("shows a team without limits as unlimited", () => {
    assert.deepEqual(teamJson({ name: "core", settings: null, keys: 2 }), {
      ...{ name: "core", keys: 2, note: null, rpm: null, tpm: null, parallel: null, budget_usd: null },
      ...{ soft_budget_usd: null, budget_period: "month", created_at: null },
    });
  });
});

describe("keySettingsFrom", () => {
  it("takes only what is given, and null as none", () => {
    assert.deepEqual(keySettingsFrom({}), {});
    assert.deepEqual(keySettingsFrom({ rpm: null, budget_usd: null, expires_at: null, note: undefined }), {
      ...{ rpm: null, budget: null, expiresAt: null },
    });
    assert.deepEqual(teamSettingsFrom({ note: "x", soft_budget_usd: "0.5" }), { note: "x", softBudget: USD / 2n });
  });

  it("takes an amount as a number, and a day for its last millisecond", () => {
    assert.deepEqual(keySettingsFrom({ budget_usd: 12.34, expires_at: "2027-01-15" }), {
      ...{ budget: (1234n * USD) / 100n, expiresAt: Date.parse("2027-01-15T23:59:59.999Z") },
    });
  });

  it("says everything that is no amount and no time at once", () => {
    const wrong = { budget_usd: 1e-7, soft_budget_usd: "ten", expires_at: "2027-02-30" };
    assert.throws(
      () => keySettingsFrom(wrong),
      (error: unknown) => {
        assert.ok(error instanceof KeyInputError);
        assert.deepEqual(
          error.problems.map(({ setting }) => setting),
          ["budget", "softBudget", "expiresAt"],
        );
        return true;
      },
    );
  });
});

describe("parseBudget", () => {
  const cases: [string, bigint | undefined][] = [
    ["50", 50n * USD],
    ["0.000001", 1_000_000n],
    ["0.0000001", undefined],
    ["9000000", 9_000_000n * USD],
    ["1,000", undefined],
    ["-1", undefined],
    ["+1", undefined],
    [".5", undefined],
    ["5.", undefined],
    ["1e3", undefined],
    ["$5", undefined],
    ["0x10", undefined],
    [" 5", undefined],
    ["", undefined],
    ["NaN", undefined],
    ["9".repeat(13), undefined],
  ];
  for (const [text, pico] of cases) {
    it(`reads ${JSON.stringify(text)} as ${pico ?? "no amount"}`, () => assert.equal(parseBudget(text), pico));
  }
});
