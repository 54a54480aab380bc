import assert from "node:assert/strict";
import { it } from "node:test";
import { withoutRepeats } from "../../src/telemetry/fault-reports.ts";

function reports() {
  const said: string[] = [];
  const clock = { now: 0 };
  const report = withoutRepeats(
    (message) => said.push(message),
    () => clock.now,
  );
  return { said, clock, report };
}

it("says a fault once a minute, and another one at once", () => {
  const { said, clock, report } = reports();
  report("collector is down");
  clock.now = 59_999;
  report("collector is down");
  assert.deepEqual(said, ["collector is down"]);
  clock.now = 60_000;
  report("collector is down");
  report("queue is full");
  assert.deepEqual(said, ["collector is down", "collector is down", "queue is full"]);
});

it("joins what the SDK's logger is given, and cuts what is long", () => {
  const { said, report } = reports();
  report("Exporter", new Error("refused"), 7);
  report("x".repeat(100_000));
  assert.deepEqual(said, ["Exporter Error: refused 7", "x".repeat(1_000)]);
});
