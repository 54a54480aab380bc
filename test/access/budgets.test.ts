import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { budgetRefusal, budgetsOf, budgetWarnings, createBudgetGate } from "../../src/access/budgets.ts";
import { GatewayError } from "../../src/errors.ts";
import type { Budget, BudgetState } from "../../src/store/store.ts";
import { caller } from "./callers.ts";

const USD = 1_000_000_000_000n;
const NOW = Date.UTC(2026, 11, 31, 23, 59, 59);

describe("budgetsOf", () => {
  it("gives the key's budget, then its team's", () => {
    const both = caller({ budget: 5n * USD, budgetPeriod: "day" }, { budget: 50n * USD, softBudget: 40n * USD });
    assert.deepEqual(budgetsOf(both), [
      { subject: "key:key_1", period: "day", limit: 5n * USD },
      { subject: "team:platform", period: "month", limit: 50n * USD },
    ]);
  });

  it("gives a soft budget alone without a limit", () => {
    const soft = caller({ softBudget: 0n, budgetPeriod: "total" });
    assert.deepEqual(budgetsOf(soft), [{ subject: "key:key_1", period: "total", limit: undefined }]);
  });

  it("gives none where there are none", () => {
    assert.deepEqual(budgetsOf(caller()), []);
    assert.deepEqual(budgetsOf(caller({}, { rpm: 5 })), []);
  });
});

describe("budgetRefusal", () => {
  it("names the key, the period, the amounts, and when it begins anew", () => {
    const error = refusal([state({ limit: 50n * USD, spent: 50n * USD + 1n })], NOW);
    assert.equal(error.code, "insufficient_quota");
    assert.equal(error.status, 429);
    assert.equal(
      error.message,
      "The budget of this API key is used up: of 50 USD a month, 50.000000000001 USD are spent. " +
        "It begins anew on 2027-01-01 at 00:00 UTC; or ask the gateway's operator for a higher one.",
    );
  });

  it("names the team when it is the team's, and what running calls hold", () => {
    const ofTeam = state({ subject: "team:a:b", period: "day", limit: 3n * USD, spent: USD, reserved: 2n * USD });
    const { message } = refusal([state({ limit: 2n * USD, spent: USD }), ofTeam], Date.UTC(2028, 1, 28, 12));
    assert.equal(
      message,
      'The budget of the team "a:b" is used up: of 3 USD a day, 1 USD are spent and 2 USD held by calls that still run. ' +
        "It begins anew on 2028-02-29 at 00:00 UTC; or ask the gateway's operator for a higher one.",
    );
  });

  it("refuses nothing that is not reached, and nothing for a soft budget", () => {
    const states = [state({ limit: 2n, spent: 0n, reserved: 1n }), state({ limit: undefined, spent: USD })];
    assert.equal(budgetRefusal(states, NOW), undefined);
  });

  it("promises no new beginning for a budget in all", () => {
    const { message } = refusal([state({ period: "total", limit: USD, spent: USD })], NOW);
    assert.match(message, /of 1 USD in all, 1 USD are spent\. Ask the gateway's operator for a higher one\.$/);
  });
});

describe("budgetWarnings", () => {
  it("say which soft budgets are reached, to the pico-dollar", () => {
    const both = caller({ softBudget: 2n * USD }, { softBudget: 5n * USD, budgetPeriod: "day", name: "größe" });
    const states = (ofKey: bigint, ofTeam: bigint) => [
      state({ limit: undefined, spent: ofKey, reserved: USD }),
      state({ subject: "team:größe", period: "day", limit: 9n * USD, spent: ofTeam }),
    ];
    assert.deepEqual(budgetWarnings(states(2n * USD - 1n, 5n * USD - 1n), both), []);
    const warnings = budgetWarnings(states(2n * USD, 6n * USD), both);
    assert.deepEqual(warnings, [
      "The soft budget of this API key has been reached: of 2 USD a month, 2 USD are spent.",
      "The soft budget of the team of this API key has been reached: of 5 USD a day, 6 USD are spent.",
    ]);
    assert.ok(warnings.every((text) => /^[ -~]+$/.test(text)));
  });

  it("say nothing of a hard budget", () => {
    assert.deepEqual(budgetWarnings([state({ limit: USD, spent: USD })], caller({ budget: USD })), []);
  });
});

describe("createBudgetGate", () => {
  const rich = caller({ budget: 10n * USD });

  function gateOver(spent: () => bigint | Promise<never>) {
    const asked: { budgets: readonly Budget[]; at: number }[] = [];
    const clock = { now: NOW };
    const calls = {
      async budgets(budgets: readonly Budget[], at: number): Promise<BudgetState[]> {
        asked.push({ budgets, at });
        const amount = await spent();
        return budgets.map((budget) => ({ budget, spent: amount, reserved: 0n }));
      },
    };
    return { gate: createBudgetGate({ calls, now: () => clock.now }), asked, clock };
  }

  it("lets pass below the budget and refuses from it on, a second later at most", async () => {
    let spent = 10n * USD - 1n;
    const { gate, asked, clock } = gateOver(() => spent);
    await gate.check(rich);
    spent += 1n;
    clock.now += 999;
    await gate.check(rich);
    clock.now += 1;
    await assert.rejects(gate.check(rich), { code: "insufficient_quota" });
    assert.deepEqual(
      asked.map(({ at }) => at),
      [NOW, NOW + 1000],
    );
  });

  it("asks again for what it read before the clock was set back", async () => {
    const { gate, asked, clock } = gateOver(() => 0n);
    await gate.check(rich);
    clock.now -= 3_600_000;
    await gate.check(rich);
    assert.equal(asked.length, 2);
  });

  it("asks once for all that come at the same time", async () => {
    const { gate, asked } = gateOver(() => 0n);
    await Promise.all(Array.from({ length: 50 }, () => gate.check(rich)));
    assert.equal(asked.length, 1);
    await gate.check(caller({ id: "key_2", budget: USD }));
    assert.equal(asked.length, 2);
  });

  it("asks nothing for callers whom no budget can refuse", async () => {
    const { gate, asked } = gateOver(() => 0n);
    await gate.check(caller());
    await gate.check(caller({ softBudget: USD }, { softBudget: USD }));
    assert.equal(asked.length, 0);
  });

  it("answers 503 while the store can't be read, and asks again with the next request", async () => {
    let down = true;
    const cause = new Error("connection refused");
    const { gate } = gateOver(() => (down ? Promise.reject(cause) : 0n));
    const error = await gate.check(rich).then(
      () => assert.fail("it passed"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof GatewayError);
    assert.deepEqual([error.code, error.retryAfter, error.cause], ["unavailable", 1, cause]);
    down = false;
    await gate.check(rich);
  });
});

function refusal(states: readonly BudgetState[], now: number): GatewayError {
  return budgetRefusal(states, now) ?? assert.fail("it refused nothing");
}

interface Given extends Partial<Budget> {
  readonly limit: bigint | undefined;
  readonly spent: bigint;
  readonly reserved?: bigint;
}

function state({ subject = "key:key_1", period = "month", limit, spent, reserved = 0n }: Given): BudgetState {
  return { budget: { subject, period, limit }, spent, reserved };
}
