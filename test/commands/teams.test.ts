import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { tempDir } from "../store/temp-store.ts";
import { runCommands } from "./run-commands.ts";

describe("teams", () => {
  it("gives a team limits, changes, shows and removes them", async (t) => {
    const { teams, keys } = open(tempDir(t));
    await keys("create", "--name", "alice", "--team", "core");
    const set = await teams("set", "core", "--rpm", "600", "--budget", "1000", "--soft-budget", "800", "--json");
    const { created_at, ...team } = JSON.parse(set.stdout);
    assert.deepEqual(team, {
      ...{ name: "core", keys: 1, note: null, rpm: 600, tpm: null, parallel: null, budget_usd: "1000" },
      ...{ soft_budget_usd: "800", budget_period: "month", spent_usd: "0" },
    });
    assert.ok(Math.abs(Date.parse(created_at) - Date.now()) < 60_000);
    await teams("set", "core", "--rpm", "none", "--parallel", "9", "--note", "ours", "--budget-period", "day");
    assert.match(
      (await teams("show", "core")).stdout,
      /^name +core\nkeys +1\nnote +ours\nrpm +unlimited\ntpm +unlimited\nparallel +9\nbudget +1000 USD a day\n/,
    );
    const removed = await teams("remove", "core", "--json");
    assert.deepEqual(JSON.parse(removed.stdout), { name: "core", removed: true });
    const shown = JSON.parse((await teams("show", "core", "--json")).stdout);
    assert.deepEqual([shown.keys, shown.budget_usd, shown.spent_usd, shown.created_at], [1, null, null, null]);
  });

  it("lists the teams of keys and those with limits", async (t) => {
    const { teams, keys } = open(tempDir(t));
    assert.deepEqual(await teams("list", "--json"), { code: 0, stdout: "[]\n", stderr: "" });
    assert.match((await teams("list")).stderr, /No teams yet/);
    await keys("create", "--name", "alice", "--team", "zeta");
    await teams("set", "alpha", "--tpm", "5", "--budget", "0.25", "--budget-period", "total");
    const rows = JSON.parse((await teams("list", "--json")).stdout);
    assert.deepEqual(
      rows.map(({ name, keys, tpm }: Record<string, unknown>) => [name, keys, tpm]),
      [
        ["alpha", 0, 5],
        ["zeta", 1, null],
      ],
    );
    assert.equal(
      (await teams("list")).stdout,
      "NAME   KEYS  RPM  TPM  PARALLEL  BUDGET (USD)\nalpha     0    -    5         -    0.25/total\n" +
        "zeta      1    -    -         -             -\n",
    );
  });

  const wrong: [string[], number, RegExp][] = [
    [["set", "core"], 1, /Nothing to change/],
    [["set", " ", "--rpm", "5"], 1, /--team: /],
    [["set", "core", "--rpm", "x", "--note", ""], 1, /--rpm: .*\n--note: /],
    [["set", "core", "--budget", "1", "--soft-budget", "2"], 1, /--soft-budget: /],
    [["set", "core", "--budget-period", "year"], 2, /day, month, total/],
    [["set", "core", "--team", "x"], 2, /--team/],
    [["show", "nobody"], 1, /nobody.*teams list/],
    [["remove", "nobody"], 1, /nobody.*teams list/],
    [[], 2, /set/],
  ];
  for (const [args, code, message] of wrong) {
    it(`refuses teams ${args.join(" ")}`, async (t) => {
      const { teams } = open(tempDir(t));
      const result = await teams(...args);
      assert.deepEqual([result.code, result.stdout], [code, ""]);
      assert.match(result.stderr, message);
      assert.equal((await teams("list", "--json")).stdout, "[]\n");
    });
  }
});

function open(dir: string) {
  const url = `sqlite:${dir}/gateway.db`;
  return {
    teams: (...args: string[]) => runCommands(url, ["teams", ...args]),
    keys: (...args: string[]) => runCommands(url, ["keys", ...args]),
  };
}
