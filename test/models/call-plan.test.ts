import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseRequest } from "../../src/bedrock/converse.ts";
import { bedrockError } from "../../src/bedrock/errors.ts";
import { type ErrorCode, GatewayError } from "../../src/errors.ts";
import { createPlanner, type PlannedCall, type PlannerOptions } from "../../src/models/call-plan.ts";
import { createLessons } from "../../src/models/lessons.ts";
import type { Target, Targets } from "../../src/models/targets.ts";
import { QUESTION, tool } from "./adapting.ts";

const NOVA = target("amazon.nova-lite-v1:0");
const THROTTLED = new GatewayError("rate_limit_exceeded", "slow");
const LLAMA = target("meta.llama3-8b-instruct-v1:0");

function target(modelId: string, region = "us-east-1"): Target {
  return { name: modelId, modelId, region, foundationModel: modelId };
}

function refusal(field: string): GatewayError {
  const message = `This model doesn't support the ${field} field. Remove ${field} and try again.`;
  return bedrockError({ type: "ValidationException", status: 400, message });
}

describe("the first attempt", () => {
  it("is the first target, adapted to what is known of its model", () => {
    const { plan, lessons } = setUp();
    lessons.learn(NOVA.modelId, { capabilities: { stopSequences: "none" } });
    const { first } = plan({ request: { messages: [QUESTION], inferenceConfig: { stopSequences: ["."] } } });
    assert.equal(first.target, NOVA);
    assert.equal(first.fallback, false);
    assert.equal(first.adapted.request.inferenceConfig?.stopSequences, undefined);
    assert.deepEqual(first.lessons, [{ capabilities: { stopSequences: "none" } }]);
  });

  it("knows a model that AWS would not explain by its id", () => {
    const { plan, lessons } = setUp();
    lessons.learn("arn:x", { capabilities: { stopSequences: "none" } });
    const hidden = { ...target("arn:x"), foundationModel: undefined };
    const request = { messages: [QUESTION], inferenceConfig: { stopSequences: ["."] } };
    assert.equal(plan({ targets: [hidden], request }).first.adapted.request.inferenceConfig?.stopSequences, undefined);
  });

  it("is refused where the model can't do what was asked, or there is no target", () => {
    const { plan } = setUp();
    const toolConfig = { tools: [tool("look")], toolChoice: { any: {} } };
    assert.throws(() => plan({ targets: [LLAMA, NOVA], request: { messages: [QUESTION], toolConfig } }), /tool_choice/);
    assert.throws(() => plan({ targets: [] }), /without a target/);
  });
});

describe("after a refusal that begins with the name of a field that the client made up", () => {
  it("nothing is learned: one client would teach it for all others", async () => {
    const { plan, lessons } = setUp();
    for (const name of [
      "This model doesn't support tool use",
      "The maximum tokens you requested exceeds the model limit of 1",
    ]) {
      const call = plan({ request: { messages: [QUESTION] }, intent: { modelFields: { [name]: 1 } } });
      const message = `The model returned the following errors: ${name}: Extra inputs are not permitted`;
      assert.equal(await call.next(bedrockError({ type: "ValidationException", status: 400, message })), undefined);
      assert.deepEqual(lessons.of(NOVA.modelId), []);
    }
  });
});

describe("after a refusal that teaches", () => {
  const request: ConverseRequest = {
    messages: [QUESTION],
    inferenceConfig: { stopSequences: ["."], temperature: 0.5 },
    serviceTier: { type: "priority" },
  };

  it("the same target is tried without what it refuses, and so is every later call at once", async () => {
    const { plan } = setUp();
    const call = plan({ request });
    const next = await call.next(refusal("stopSequences"));
    assert.equal(next?.target, NOVA);
    assert.equal(next?.fallback, false);
    assert.equal(next?.adapted.request.inferenceConfig?.stopSequences, undefined);
    assert.equal(next?.adapted.request.inferenceConfig?.temperature, 0.5);
    assert.equal(plan({ request }).first.adapted.request.inferenceConfig?.stopSequences, undefined);
  });

  it("a call that went out before another one was taught is mended too", async () => {
    const { plan } = setUp();
    const calls = [plan({ request }), plan({ request })];
    for (const call of calls) assert.notEqual(await call.next(refusal("stopSequences")), undefined);
  });

  it("nothing is tried that would be the same request again", async () => {
    const { plan } = setUp();
    const call = plan({ request });
    assert.equal(await call.next(refusal("cachePoint")), undefined);
    assert.notEqual(await call.next(refusal("stopSequences")), undefined);
    assert.equal(await call.next(refusal("stopSequences")), undefined);
  });

  it("a part that is left out counts as another request, also one that is added later", async () => {
    const { plan } = setUp();
    const call = plan({ request });
    assert.deepEqual((await call.next(refusal("requestMetadata")))?.lessons, [{ without: "requestMetadata" }]);
    assert.equal(await call.next(refusal("requestMetadata")), undefined);
  });

  it("a stream that can't have tools is asked for as a whole answer", async () => {
    const { plan } = setUp();
    const toolConfig = { tools: [tool("look")] };
    const call = plan({ request: { messages: [QUESTION], toolConfig }, stream: true });
    assert.equal(call.first.adapted.stream, true);
    const message = "This model doesn't support tool use in streaming mode.";
    const next = await call.next(bedrockError({ type: "ValidationException", status: 400, message }));
    assert.equal(next?.adapted.stream, false);
    assert.deepEqual(next?.adapted.request, call.first.adapted.request);
  });

  it("about this request alone other calls are not changed", async () => {
    const { plan } = setUp();
    const format = { type: "json_schema", schema: { type: "object", properties: {} } } as const;
    const asked = { targets: [target("anthropic.claude-sonnet-4-5-20250929-v1:0")], intent: { format } };
    const call = plan(asked);
    assert.notEqual(call.first.adapted.request.outputConfig, undefined);
    const message = "The model returned the following errors: Schema is too complex for compilation.";
    const next = await call.next(bedrockError({ type: "ValidationException", status: 400, message }));
    assert.equal(next?.adapted.request.outputConfig, undefined);
    assert.notEqual(next?.adapted.request.toolConfig, undefined);
    assert.notEqual(plan(asked).first.adapted.request.outputConfig, undefined);
  });

  it("nothing is tried when the model can't do without what it refuses", async () => {
    const { plan, lessons } = setUp();
    const toolConfig = { tools: [tool("look")], toolChoice: { any: {} } };
    const call = plan({ targets: [NOVA, LLAMA], request: { messages: [QUESTION], toolConfig } });
    assert.equal(await call.next(refusal("toolConfig")), undefined);
    assert.deepEqual(lessons.of(NOVA.modelId), [{ capabilities: { tools: false } }]);
  });

  it("nothing is tried when the error is not Bedrock's own", async () => {
    const { plan } = setUp();
    const error = new GatewayError("invalid_request", refusal("stopSequences").message);
    assert.equal(await plan({ request }).next(error), undefined);
  });

  it("no guardrail is ever left out", async () => {
    const { plan } = setUp();
    const guardrailConfig = { guardrailIdentifier: "g", guardrailVersion: "1" };
    const call = plan({ request: { ...request, guardrailConfig } });
    assert.equal(await call.next(refusal("guardrailConfig")), undefined);
    const next = await call.next(refusal("stopSequences"));
    assert.deepEqual(next?.adapted.request.guardrailConfig, guardrailConfig);
  });
});

describe("after a refusal of a model's own id", () => {
  const REFUSED = new GatewayError("inference_profile_required", "on-demand throughput isn't supported");
  const PROFILE = { ...NOVA, modelId: `us.${NOVA.modelId}` };

  it("its profile is tried", async () => {
    const { plan } = setUp({ profileOf: async (failed) => (failed === NOVA ? PROFILE : undefined) });
    const call = plan();
    const next = await call.next(REFUSED);
    assert.deepEqual([next?.target, next?.fallback], [PROFILE, false]);
    assert.equal(await call.next(REFUSED), undefined);
  });

  for (const [what, profileOf] of [
    ["has none", async () => undefined],
    ["can't be asked for", () => Promise.reject(new Error("no list"))],
  ] as const) {
    it(`a fallback is tried when the profile ${what}`, async () => {
      const { plan } = setUp({ profileOf });
      const next = await plan({ targets: [NOVA, LLAMA] }).next(REFUSED);
      assert.deepEqual([next?.target, next?.fallback], [LLAMA, true]);
    });
  }

  it("the profile of a fallback is a fallback", async () => {
    const { plan } = setUp({ profileOf: async (failed) => ({ ...failed, modelId: `us.${failed.modelId}` }) });
    const call = plan({ targets: [NOVA, LLAMA] });
    await call.next(THROTTLED);
    const next = await call.next(REFUSED);
    assert.deepEqual([next?.target.modelId, next?.fallback], [`us.${LLAMA.modelId}`, true]);
  });
});

describe("fallbacks", () => {
  const CODES: Readonly<Record<ErrorCode, boolean>> = {
    invalid_request: false,
    context_length_exceeded: false,
    request_too_large: false,
    unknown_path: false,
    method_not_allowed: false,
    invalid_api_key: false,
    model_not_allowed: false,
    model_not_found: true,
    model_not_supported: true,
    inference_profile_required: true,
    model_access_required: true,
    access_denied: true,
    upstream_auth_error: false,
    rate_limit_exceeded: true,
    insufficient_quota: true,
    model_not_ready: true,
    model_timeout: true,
    model_error: false,
    upstream_invalid_response: false,
    upstream_unavailable: true,
    upstream_error: true,
    unavailable: false,
    internal_error: false,
  };

  it("are tried after failures that say nothing about the request, and after no others", async () => {
    for (const [code, tried] of Object.entries(CODES)) {
      const { plan } = setUp();
      const next = await plan({ targets: [NOVA, LLAMA] }).next(new GatewayError(code as ErrorCode, "why"));
      assert.equal(next !== undefined, tried, code);
    }
  });

  it("follow one another, each once, and each adapted to its own model", async () => {
    const { plan } = setUp();
    const west = target(NOVA.modelId, "us-west-2");
    const request = { messages: [QUESTION], system: [{ text: "Be kind." }] };
    const titan = target("amazon.titan-text-lite-v1");
    const call = plan({ targets: [NOVA, west, titan], request });
    const [second, third, fourth] = [
      await call.next(THROTTLED),
      await call.next(THROTTLED),
      await call.next(THROTTLED),
    ];
    assert.deepEqual([second?.target, third?.target, fourth], [west, titan, undefined]);
    assert.deepEqual([second?.fallback, third?.fallback], [true, true]);
    assert.deepEqual(second?.adapted.request.system, request.system);
    assert.equal(third?.adapted.request.system, undefined);
  });

  it("that can't do what was asked are passed over", async () => {
    const { plan } = setUp();
    const toolConfig = { tools: [tool("look")], toolChoice: { any: {} } };
    const claude = target("anthropic.claude-sonnet-4-5-20250929-v1:0");
    const call = plan({ targets: [NOVA, LLAMA, claude], request: { messages: [QUESTION], toolConfig } });
    assert.equal((await call.next(THROTTLED))?.target, claude);
    const none = plan({ targets: [NOVA, LLAMA], request: { messages: [QUESTION], toolConfig } });
    assert.equal(await none.next(THROTTLED), undefined);
  });

  it("may be taught as well", async () => {
    const { plan } = setUp();
    const request = { messages: [QUESTION], inferenceConfig: { stopSequences: ["."] } };
    const other = target("amazon.nova-pro-v1:0");
    const call = plan({ targets: [NOVA, other], request });
    await call.next(THROTTLED);
    const next = await call.next(refusal("stopSequences"));
    assert.deepEqual([next?.target, next?.fallback], [other, true]);
    assert.notEqual(plan({ request }).first.adapted.request.inferenceConfig?.stopSequences, undefined);
  });
});

it("makes at most four attempts, whatever they are for", async () => {
  const { plan } = setUp();
  const request = { messages: [QUESTION], inferenceConfig: { stopSequences: ["."] } };
  const others = ["b", "c", "d", "e"].map((name) => target(`test.${name}`));
  const call = plan({ targets: [NOVA, ...others], request });
  assert.equal((await call.next(refusal("stopSequences")))?.target, NOVA);
  assert.equal((await call.next(THROTTLED))?.target.modelId, "test.b");
  assert.equal((await call.next(THROTTLED))?.target.modelId, "test.c");
  assert.equal(await call.next(THROTTLED), undefined);
  assert.equal(await call.next(refusal("temperature")), undefined);
});

function setUp(targets: Partial<Targets> = {}, options: Partial<PlannerOptions> = {}) {
  const lessons = createLessons();
  const planner = createPlanner({
    targets: { aliases: new Map(), resolve: async () => [], profileOf: async () => undefined, ...targets },
    lessons,
    overrides: [],
    autoCache: undefined,
    ...options,
  });
  const plan = (call: Partial<PlannedCall> = {}) =>
    planner.plan({ targets: [NOVA], request: { messages: [QUESTION] }, intent: {}, stream: false, ...call });
  return { lessons, plan };
}
