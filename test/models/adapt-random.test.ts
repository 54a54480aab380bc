import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseRequest } from "../../src/bedrock/converse.ts";
import { GatewayError } from "../../src/errors.ts";
import { stringifyJson } from "../../src/json.ts";
import { type Adaptation, type Adapted, adapt } from "../../src/models/adapt.ts";
import type { Capabilities } from "../../src/models/capabilities.ts";
import { CAPABILITY_TABLE, UNKNOWN_MODEL } from "../../src/models/capability-table.ts";
import { judgeConverse } from "../aws-model/judge.ts";
import { brokenRules } from "../aws-model/rules.ts";
import { brokenCapabilities } from "./model-rules.ts";
import { randomCall } from "./random-request.ts";

const CONVERSATIONS = 200;

const calls = Array.from({ length: CONVERSATIONS }, (_, seed) => randomCall(seed + 1));

function forEach(capabilities: Capabilities, check: (adaptation: Adaptation, adapted: Adapted) => void) {
  let adapted = 0;
  for (const [seed, call] of calls.entries()) {
    const adaptation: Adaptation = { ...call, capabilities, stream: seed % 2 === 1, model: "a.model" };
    try {
      const result = tryAdapt(adaptation);
      if (result === undefined) continue;
      adapted += 1;
      check(adaptation, result);
    } catch (error) {
      throw new Error(`seed ${seed}: ${stringifyJson(adaptation)}`, { cause: error });
    }
  }
  assert.ok(adapted > CONVERSATIONS / 10, `only ${adapted} were not refused`);
}

/** Undefined for what is refused, which must be something that the model can't do. */
function tryAdapt(adaptation: Adaptation): Adapted | undefined {
  const { images, documents, tools } = adaptation.capabilities;
  try {
    return adapt(adaptation);
  } catch (error) {
    assert.ok(error instanceof GatewayError && error.code === "invalid_request", "a refusal");
    assert.ok(error.param === "messages" ? !images || !documents : error.param === "tools" && !tools, error.message);
    return undefined;
  }
}

const families = [
  ...CAPABILITY_TABLE.map(({ family, capabilities }) => [family, capabilities] as const),
  ["a model that no row knows", UNKNOWN_MODEL] as const,
];

describe(`${CONVERSATIONS} random conversations with random settings`, () => {
  for (const [family, capabilities] of families) {
    it(`become what AWS's model, Bedrock's rules and the row allow, for ${family}`, () => {
      forEach(capabilities, (_, { request, stream }) => {
        assert.deepEqual(
          [...judgeConverse(request), ...brokenRules(request), ...brokenCapabilities(request, capabilities, stream)],
          [],
        );
      });
    });
  }

  it("give the same bytes each time, and leave their input alone", () => {
    for (const [, capabilities] of families) {
      forEach(capabilities, (adaptation, { request, warnings }) => {
        const before = stringifyJson(adaptation);
        const again = adapt(adaptation);
        assert.equal(stringifyJson(again.request), stringifyJson(request));
        assert.deepEqual(again.warnings, warnings);
        assert.equal(stringifyJson(adaptation), before);
      });
    }
  });

  it("lose no word of a user's text", () => {
    for (const [, capabilities] of families) {
      forEach(capabilities, (adaptation, { request }) => {
        const sent = stringifyJson(request);
        for (const { content } of adaptation.request.messages)
          for (const block of content)
            if ("text" in block) assert.ok(sent.includes(JSON.stringify(block.text).slice(1, -1)), block.text);
      });
    }
  });

  it("keep the turns before when they grow", () => {
    for (const [, capabilities] of families) {
      forEach(capabilities, (adaptation, { request }) => {
        const shorter = adaptation.request.messages.slice(0, -2);
        if (shorter.length === 0) return;
        const before = adapt({ ...adaptation, request: { ...adaptation.request, messages: shorter } }).request.messages;
        const turns = before.at(-1)?.role === "user" ? before.slice(0, -1) : before;
        const plain = (messages: ConverseRequest["messages"]) =>
          messages.map(({ content }) => content.filter((block) => !("cachePoint" in block)));
        assert.deepEqual(plain(request.messages).slice(0, turns.length), plain(turns));
      });
    }
  });
});
