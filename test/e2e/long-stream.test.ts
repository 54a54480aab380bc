/**
 * A stream that lasts for most of a minute while nothing else happens: an agent's usual request on one developer's gateway.
 *
 * Alone in its file, because any other request on the same Envoy would hide what it is about: Envoy drops what it has kept
 * for new streams after 50 idle seconds, and must not drop it under a stream that still runs.
 */
import assert from "node:assert/strict";
import { after, it } from "node:test";
import type { StreamStep } from "../../src/simulator/simulator.ts";
import { ask, readSse, startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const SILENCE_MS = 56_000;

const STEPS: StreamStep[] = [
  { event: "messageStart", payload: { role: "assistant" } },
  { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Let me think." } } },
  { silence: SILENCE_MS },
  { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: " Yes." } } },
  { event: "messageStop", payload: { stopReason: "end_turn" } },
  {
    event: "metadata",
    payload: { usage: { inputTokens: 3, outputTokens: 5, totalTokens: 8 }, metrics: { latencyMs: 1 } },
  },
];

it("carries a long silence, with a comment every fifteen seconds, and lives on", async () => {
  const model = uniqueModel();
  gateway.simulator.scriptModel(model, { kind: "events", steps: STEPS });
  let envoyEnded = false;
  gateway.standalone.envoy.exited.then(() => {
    envoyEnded = true;
  });

  const response = await gateway.chat(ask(model, { stream: true }));
  const { raw, complete } = await readSse(response);
  assert.equal(complete, true);
  assert.match(raw, /"Let me think\."[^\n]*\n\n(: keep-alive\n\n){3}data: .*" Yes\.".*data: \[DONE\]\n\n$/s);
  const { closing } = await gateway.closedCall(response.headers.get("x-request-id"));
  assert.deepEqual([closing?.status, closing?.usage.outputTokens], ["ok", 5]);

  // Envoy writes the line when it has taken the last stream apart.
  await gateway.accessLine(response.headers.get("x-request-id"));
  const next = await gateway.chat(ask(uniqueModel()));
  assert.deepEqual([next.status, envoyEnded], [200, false]);
});
