/** The official Anthropic SDK for Python against the whole gateway. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Answer, fails, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, type TestGateway, uniqueModel } from "./harness.ts";
import { findPythonPackages, type Played, type PythonClients, startPythonClients } from "./python-clients.ts";

const packages = await findPythonPackages();
const options = { concurrency: true, skip: "missing" in packages && packages.missing };
let gateway: TestGateway;
let python: PythonClients;

const CLAUDE = "anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA = "amazon.nova-lite-v1:0";
const REQUEST_ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;
const USAGE = { inputTokens: 11, outputTokens: 5, totalTokens: 76, cacheReadInputTokens: 60 };
const CALLS_TOOLS: Answer = {
  kind: "message",
  content: [
    { text: "Let me look." },
    { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
    { toolUse: { toolUseId: "tooluse_2", name: "get_weather", input: { city: "Bergen" } } },
  ],
};
const BREAKS: Answer = {
  kind: "events",
  steps: [
    { event: "messageStart", payload: { role: "assistant" } },
    { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Four" } } },
    { exception: "modelStreamErrorException", payload: { message: "The model failed." } },
  ],
};

before(async () => {
  if ("missing" in packages) return;
  gateway = await startTestGateway();
  python = await startPythonClients(gateway, packages.folder);
});
after(async () => {
  await python?.stop();
  await gateway?.stop();
});

describe("the Anthropic SDK for Python", options, () => {
  for (const base of [CLAUDE, NOVA]) {
    it(`reads an answer of ${base} with its usage and request id`, async () => {
      const model = script(base, says("Four degrees.", { usage: USAGE }));
      const { id, request_id, ...answer } = await sees("anthropic_answer", { model });
      assert.deepEqual(answer, {
        blocks: [{ type: "text", text: "Four degrees." }],
        stop_reason: "end_turn",
        usage: [11, 5, 60],
        model,
      });
      assert.match(String(id), /^msg_/);
      assert.match(String(request_id), REQUEST_ID);
    });

    it(`streams an answer of ${base}`, async () => {
      const saw = await sees("anthropic_stream", {
        model: script(base, says("Four degrees and rain.", { usage: USAGE })),
      });
      assert.equal(saw.text, "Four degrees and rain.");
      assert.deepEqual([saw.stop_reason, saw.usage], ["end_turn", [11, 5, 60]]);
      const events = Array.isArray(saw.events)
        ? saw.events.filter((type) => type !== "content_block_delta" && type !== "text")
        : [];
      assert.deepEqual(events, [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
      ]);
    });

    for (const stream of [false, true]) {
      it(`lets ${base} call two tools at once and answers with their results${stream ? ", streamed" : ""}`, async () => {
        const model = script(base, CALLS_TOOLS, says("Four degrees in both."));
        assert.deepEqual(await sees("anthropic_tools", { model, stream }), {
          stop_reason: "tool_use",
          calls: [
            ["tooluse_1", "get_weather", { city: "Oslo" }],
            ["tooluse_2", "get_weather", { city: "Bergen" }],
          ],
          text: "Four degrees in both.",
        });
      });
    }
  }

  it("reads signed thinking from a stream", async () => {
    const more = { thinking: { type: "enabled", budget_tokens: 1024 } };
    const { blocks } = await sees("anthropic_stream", { model: `${CLAUDE}.${uniqueModel()}`, more });
    const [thought, text] = Array.isArray(blocks) ? blocks : [];
    assert.deepEqual([thought.type, text.type], ["thinking", "text"]);
    assert.ok(thought.thinking !== "" && thought.signature !== "");
  });

  it("counts tokens, and lists models in pages", async () => {
    assert.deepEqual(await sees("anthropic_count", { model: CLAUDE }), { tokens: 6 });
    const { ids, model } = await sees("anthropic_models", { model: NOVA });
    assert.ok(Array.isArray(ids) && ids.length > 7 && ids.includes(NOVA));
    assert.deepEqual(model, { id: NOVA, type: "model", display_name: NOVA });
  });

  it("raises AuthenticationError for a wrong key", async () => {
    const error = await raises("anthropic_answer", { model: NOVA, options: { api_key: `sk-${"x".repeat(43)}` } });
    assert.deepEqual(
      [kindOf(error), error.status_code, error.type],
      ["AuthenticationError", 401, "authentication_error"],
    );
    assert.match(String(error.request_id), REQUEST_ID);
  });

  it("raises BadRequestError that names the field", async () => {
    const error = await raises("anthropic_answer", { model: NOVA, more: { max_tokens: 0 } });
    assert.equal(kindOf(error), "BadRequestError");
    assert.match(String(error.message), /max_tokens must be/);
  });

  it("raises OverloadedError when Bedrock is not available", async () => {
    const error = await raises("anthropic_answer", {
      model: script(NOVA, fails("ServiceUnavailableException", { times: 9 })),
    });
    assert.deepEqual([kindOf(error), error.status_code], ["OverloadedError", 529]);
  });

  it("raises an error inside a stream, after the text that came before", async () => {
    const { saw, raised } = await python.play("anthropic_stream", { model: script(CLAUDE, BREAKS) });
    assert.equal(saw.text, "Four");
    assert.match(String(raised?.message), /The model failed\./);
  });
});

function script(base: string, ...answers: Answer[]): string {
  const model = `${base}.${uniqueModel()}`;
  gateway.simulator.scriptModel(model, answers);
  return model;
}

async function sees(scenario: string, args: Record<string, unknown>): Promise<Played["saw"]> {
  const { saw, raised } = await python.play(scenario, args);
  assert.equal(raised, undefined);
  return saw;
}

async function raises(scenario: string, args: Record<string, unknown>): Promise<NonNullable<Played["raised"]>> {
  const { saw, raised } = await python.play(scenario, args);
  assert.ok(raised, `nothing was raised: ${JSON.stringify(saw)}`);
  return raised;
}

function kindOf({ kinds }: Played["saw"]): unknown {
  return Array.isArray(kinds) ? kinds[0] : undefined;
}
