/**
 * Failures that another attempt mends before the client hears of them: a field that a model refuses, a model that needs an
 * inference profile, and the operator's fallbacks.
 *
 * Attempts after the first go out through Envoy's egress listener; the answer that Envoy holds is replaced by theirs.
 */
import assert from "node:assert/strict";
import { globalAgent } from "node:http";
import { after, describe, it } from "node:test";
import { isJsonObject } from "../../src/json.ts";
import { type Answer, fails, type RecordedRequest, type StreamStep, says } from "../../src/simulator/simulator.ts";
import { ask, readError, readSse, startTestGateway, type TestGateway, uniqueModel, until } from "./harness.ts";

const MESSAGE = "an answer of the second attempt";
const USAGE = { inputTokens: 11, outputTokens: 7, totalTokens: 18 };
const START: StreamStep = { event: "messageStart", payload: { role: "assistant" } };
const NO_ON_DEMAND =
  "Invocation of model ID X with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile that contains this model.";
/** Envoy sends a throttled request twice more before it gives up. */
const THROTTLED = fails("ThrottlingException", { times: 3, message: "Too many requests." });

const gateway = await startTestGateway({
  simulator: { region: ["us-east-1", "us-west-2"] },
  operator: `
regions: { allowed: [us-east-1, us-west-2] }
models:
  aliases: { fast: test.alias-target }
  fallbacks:
    test.primary-1: [test.second-1]
    test.primary-2: [test.second-2]
    test.primary-3: [{ region: us-west-2 }]
    test.primary-4: [test.second-4, test.third-4]
    test.primary-5: [test.second-5]
    test.primary-6: [test.second-6]
    test.primary-7: [test.second-7]
    test.primary-8: [test.second-8]
    test.primary-9: [test.second-9]
    test.primary-10: [test.second-10]
    test.primary-11: [test.b-11, test.c-11, test.d-11, test.e-11]
    test.primary-12: [test.second-12]
    test.primary-13: [{ region: us-west-2 }]
    fast: [{ region: us-west-2 }]
`,
});
after(() => gateway.stop());

describe("a field that the model refuses", { concurrency: true }, () => {
  for (const stream of [false, true]) {
    it(`is left out in a second attempt, and from then on${stream ? ", for a stream" : ""}`, async () => {
      const { model, key, keyId } = await scene();
      const attempts = gateway.simulator;
      attempts.scriptModel(model, [refuses("toolConfig.toolChoice.any"), says(MESSAGE, { usage: USAGE })]);
      const body = ask(model, { ...TOOLS, tool_choice: "required", stream });
      const response = await gateway.chat(body, { key });
      await assertAnswer(response, stream);
      const id = response.headers.get("x-request-id") ?? "";
      assert.equal(response.headers.get("x-gateway-attempts"), "2");
      assert.equal(response.headers.get("x-gateway-model"), null);
      assert.match(response.headers.get("x-gateway-warning") ?? "", /can't be forced/);
      const [first, second, ...others] = calls(gateway, model);
      assert.deepEqual(others, []);
      assert.deepEqual(at(first, "toolConfig", "toolChoice"), { any: {} });
      assert.equal(at(second, "toolConfig", "toolChoice"), undefined);
      assert.deepEqual([first?.leaks, second?.leaks], [[], []]);

      const rows = await rowsOf(keyId);
      assert.deepEqual(
        rows.map((row) => [row.id, row.callId, row.closing?.status, row.closing?.httpStatus]),
        [
          [id, undefined, "error", 400],
          [`${id}/2`, id, "ok", 200],
        ],
      );
      assert.equal(rows[1]?.closing?.bedrockRequestId, response.headers.get("x-amzn-requestid"));
      assert.notEqual(rows[0]?.closing?.bedrockRequestId, rows[1]?.closing?.bedrockRequestId);
      assert.deepEqual(await used(keyId), { requests: 1, inputTokens: 11, outputTokens: 7, estimated: 0 });
      const line = await gateway.accessLine(id);
      assert.ok(isJsonObject(line.gateway));
      assert.deepEqual(
        [line.status, line.gateway.attempts, line.gateway.input_tokens, line.gateway.output_tokens, line.gateway.error],
        [200, 2, 11, 7, undefined],
      );

      const next = await gateway.chat(body, { key });
      assert.equal(next.status, 200, await next.text());
      assert.equal(next.headers.get("x-gateway-attempts"), null);
      assert.equal(calls(gateway, model).length, 3);
    });
  }

  it("is left out for each of many calls that met the refusal at once", async () => {
    const { model, key } = await scene();
    const refusal = { ...refuses("stopSequences"), delay: 200 };
    gateway.simulator.scriptModel(model, { ...refusal, times: 4 });
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => gateway.chat(ask(model, { stop: ["."] }), { key })),
    );
    for (const answer of answers) assert.equal(answer.status, 200, await answer.text());
    assert.equal(calls(gateway, model).length, 8);
  });

  it("may be one of several, one after the other", async () => {
    const { model, key } = await scene();
    gateway.simulator.scriptModel(model, [refuses("stopSequences"), refuses("temperature"), refuses("serviceTier")]);
    const body = ask(model, { stop: ["."], temperature: 0.5, service_tier: "priority" });
    const response = await gateway.chat(body, { key });
    assert.equal(response.status, 200, await response.text());
    assert.equal(response.headers.get("x-gateway-attempts"), "4");
    const last = calls(gateway, model).at(-1);
    const { stopSequences, temperature, maxTokens } = Object(at(last, "inferenceConfig"));
    assert.deepEqual([stopSequences, temperature, at(last, "serviceTier")], [undefined, undefined, undefined]);
    assert.equal(typeof maxTokens, "number");
  });

  it("that is a guardrail is never left out", async () => {
    const { model, key } = await scene();
    gateway.simulator.scriptModel(model, refuses("guardrailConfig"));
    const guardrailConfig = { guardrailIdentifier: "g1abcdefgh", guardrailVersion: "1" };
    const error = await readError(await gateway.chat(ask(model, { guardrail_config: guardrailConfig }), { key }));
    assert.deepEqual([error.status, calls(gateway, model).length], [400, 1]);
    assert.deepEqual(at(calls(gateway, model)[0], "guardrailConfig"), guardrailConfig);
  });

  it("that says no more by another attempt is an error", async () => {
    const { model, key, keyId } = await scene();
    gateway.simulator.scriptModel(model, [refuses("stopSequences"), fails("ValidationException", { message: "No." })]);
    const error = await readError(await gateway.chat(ask(model, { stop: ["."] }), { key }));
    assert.deepEqual([error.status, error.message], [400, "No."]);
    assert.equal(error.headers.get("x-gateway-attempts"), "2");
    assert.deepEqual(
      (await rowsOf(keyId)).map(({ closing }) => closing?.status),
      ["error", "error"],
    );
  });
});

describe("a model that needs an inference profile", () => {
  const BARE = "anthropic.claude-haiku-4-5-20251001-v1:0";
  const PROFILE = `us.${BARE}`;

  for (const stream of [false, true]) {
    it(`is called by its profile after Bedrock's refusal, and at once when the catalog is known${stream ? ", for a stream" : ""}`, async () => {
      await using fresh = await startTestGateway();
      fresh.simulator.scriptModel(BARE, fails("ValidationException", { message: NO_ON_DEMAND }));
      const response = await fresh.chat(ask(BARE, { stream }));
      assert.equal(response.status, 200, await response.text());
      assert.deepEqual(
        [response.headers.get("x-gateway-model"), response.headers.get("x-gateway-attempts")],
        [PROFILE, "2"],
      );
      const next = await fresh.chat(ask(BARE, { stream }));
      assert.equal(next.status, 200, await next.text());
      assert.deepEqual([next.headers.get("x-gateway-model"), next.headers.get("x-gateway-attempts")], [PROFILE, null]);
      assert.deepEqual(
        chats(fresh).map(({ modelId }) => modelId),
        [BARE, PROFILE, PROFILE],
      );
      const row = await fresh.closedCall(next.headers.get("x-request-id"));
      assert.deepEqual([row.modelRequested, row.modelInvoked], [BARE, PROFILE]);
      const line = await fresh.accessLine(next.headers.get("x-request-id"));
      assert.ok(isJsonObject(line.gateway));
      assert.equal(line.gateway.model, PROFILE);
    });
  }

  it("is called by its profile at once when the list of models has been asked for", async () => {
    await using fresh = await startTestGateway();
    await (await fetch(`${fresh.url}/v1/models`, { headers: { authorization: `Bearer ${fresh.key}` } })).text();
    const response = await fresh.chat(ask(BARE));
    assert.equal(response.status, 200, await response.text());
    assert.deepEqual(
      chats(fresh).map(({ modelId }) => modelId),
      [PROFILE],
    );
  });

  it("is refused with a hint where the operator wants no profile chosen", async () => {
    await using fresh = await startTestGateway({ operator: "profiles: { automatic: off }" });
    fresh.simulator.scriptModel(BARE, fails("ValidationException", { message: NO_ON_DEMAND }));
    const error = await readError(await fresh.chat(ask(BARE)));
    assert.deepEqual([error.status, error.code], [400, "inference_profile_required"]);
    assert.match(error.message, /us\., eu\. or global\./);
    assert.deepEqual(
      chats(fresh).map(({ modelId }) => modelId),
      [BARE],
    );
  });

  it("is refused with a hint where there is no catalog to find one in", async () => {
    await using fresh = await startTestGateway();
    fresh.simulator.failCatalog({ status: 403, type: "AccessDeniedException" });
    fresh.simulator.scriptModel(BARE, fails("ValidationException", { message: NO_ON_DEMAND }));
    const error = await readError(await fresh.chat(ask(BARE)));
    assert.deepEqual([error.status, error.code], [400, "inference_profile_required"]);
  });
});

describe("an operator's fallback", { concurrency: true }, () => {
  for (const [stream, n] of [
    [false, 1],
    [true, 2],
  ] as const) {
    it(`answers when the model is throttled after Envoy's own retries${stream ? ", for a stream" : ""}`, async () => {
      const { key, keyId } = await scene();
      gateway.simulator.scriptModel(`test.primary-${n}`, THROTTLED);
      gateway.simulator.scriptModel(`test.second-${n}`, says(MESSAGE, { usage: USAGE }));
      const response = await gateway.chat(ask(`test.primary-${n}`, { stream }), { key });
      await assertAnswer(response, stream);
      assert.deepEqual(
        [response.headers.get("x-gateway-model"), response.headers.get("x-gateway-attempts")],
        [`test.second-${n}`, "2"],
      );
      assert.deepEqual([calls(gateway, `test.primary-${n}`).length, calls(gateway, `test.second-${n}`).length], [3, 1]);
      const rows = await rowsOf(keyId);
      assert.deepEqual(
        rows.map(({ modelRequested, modelInvoked, closing }) => [modelRequested, modelInvoked, closing?.errorCode]),
        [
          [`test.primary-${n}`, `test.primary-${n}`, "rate_limit_exceeded"],
          [`test.primary-${n}`, `test.second-${n}`, undefined],
        ],
      );
      assert.deepEqual(await used(keyId), { requests: 1, inputTokens: 11, outputTokens: 7, estimated: 0 });
      const line = await gateway.accessLine(response.headers.get("x-request-id"));
      assert.ok(isJsonObject(line.gateway));
      assert.deepEqual([line.status, line.gateway.model, line.gateway.attempts], [200, `test.second-${n}`, 2]);
    });
  }

  it("may be another region, for which the attempt is signed", async () => {
    const { key, keyId } = await scene();
    gateway.simulator.scriptModel("test.primary-3", [THROTTLED, says(MESSAGE)]);
    const response = await gateway.chat(ask("test.primary-3"), { key });
    await assertAnswer(response, false);
    assert.equal(response.headers.get("x-gateway-model"), null);
    assert.match(calls(gateway, "test.primary-3").at(-1)?.headers.authorization ?? "", /\/us-west-2\/bedrock\//);
    assert.deepEqual(
      (await rowsOf(keyId)).map(({ region }) => region),
      ["us-east-1", "us-west-2"],
    );
    const line = await gateway.accessLine(response.headers.get("x-request-id"));
    assert.ok(isJsonObject(line.gateway));
    assert.equal(line.gateway.region, "us-west-2");
  });

  it("that fails too is followed by the next, and when all have, the client hears of the model that it asked for", async () => {
    const { key, keyId } = await scene();
    gateway.simulator.scriptModel("test.primary-4", { ...THROTTLED, headers: { "retry-after": "6" } });
    gateway.simulator.scriptModel("test.second-4", fails("AccessDeniedException"));
    gateway.simulator.scriptModel("test.third-4", fails("ValidationException", { message: "Input is too long." }));
    const error = await readError(await gateway.chat(ask("test.primary-4", { stream: true }), { key }));
    assert.deepEqual([error.status, error.code, error.message], [429, "rate_limit_exceeded", "Too many requests."]);
    assert.equal(error.headers.get("retry-after"), "6");
    assert.equal(error.headers.get("x-gateway-attempts"), "3");
    assert.deepEqual(
      (await rowsOf(keyId)).map(({ closing }) => [closing?.errorCode, closing?.httpStatus]),
      [
        ["rate_limit_exceeded", 429],
        ["access_denied", 403],
        ["context_length_exceeded", 429],
      ],
    );
    const line = await gateway.accessLine(error.headers.get("x-request-id"));
    assert.ok(isJsonObject(line.gateway));
    assert.deepEqual([line.status, line.gateway.error, line.gateway.attempts], [429, "rate_limit_exceeded", 3]);
  });

  it("answers when a stream begins with an exception", async () => {
    const { key } = await scene();
    const steps: StreamStep[] = [{ exception: "serviceUnavailableException", payload: { message: "Busy." } }];
    gateway.simulator.scriptModel("test.primary-5", { kind: "events", steps });
    gateway.simulator.scriptModel("test.second-5", says(MESSAGE));
    await assertAnswer(await gateway.chat(ask("test.primary-5", { stream: true }), { key }), true);
  });

  it("does not take over a stream that has begun", async () => {
    const { key, keyId } = await scene();
    const exception: StreamStep = { exception: "throttlingException", payload: { message: "Slow down." }, delay: 100 };
    gateway.simulator.scriptModel("test.primary-6", { kind: "events", steps: [START, text("Begin"), exception] });
    const { raw, complete } = await readSse(await gateway.chat(ask("test.primary-6", { stream: true }), { key }));
    assert.equal(complete, true);
    assert.match(raw, /"content":"Begin".*"code":"rate_limit_exceeded"/s);
    assert.doesNotMatch(raw, /DONE/);
    assert.deepEqual([calls(gateway, "test.second-6").length, (await rowsOf(keyId)).length], [0, 1]);
  });

  it("answers when the connection breaks before an answer, and the first attempt is charged as an estimate", async () => {
    const { key, keyId } = await scene();
    gateway.simulator.scriptModel("test.primary-7", { kind: "cut", at: "before-headers", times: 3 });
    gateway.simulator.scriptModel("test.second-7", says(MESSAGE, { usage: USAGE }));
    await assertAnswer(await gateway.chat(ask("test.primary-7", { stream: true }), { key }), true);
    const [first, second, ...others] = await rowsOf(keyId);
    assert.deepEqual([first?.closing?.estimated, second?.closing?.estimated, others], [true, false, []]);
    assert.ok((first?.closing?.usage.inputTokens ?? 0) > 0);
    assert.equal((await used(keyId)).requests, 1);
  });

  it("whose own connection breaks before an answer is charged as an estimate too", async () => {
    const { key, keyId } = await scene();
    gateway.simulator.scriptModel("test.primary-8", THROTTLED);
    gateway.simulator.scriptModel("test.second-8", { kind: "cut", at: "before-headers", times: 3 });
    const error = await readError(await gateway.chat(ask("test.primary-8"), { key }));
    assert.equal(error.code, "rate_limit_exceeded");
    const [, second] = await rowsOf(keyId);
    assert.deepEqual([second?.closing?.errorCode, second?.closing?.estimated], ["upstream_unavailable", true]);
  });

  it("whose stream breaks in the middle ends the client's with an error event", async () => {
    const { key, keyId } = await scene();
    gateway.simulator.scriptModel("test.primary-9", THROTTLED);
    const steps: StreamStep[] = [START, text("Begin"), { cut: "reset", delay: 200 }];
    gateway.simulator.scriptModel("test.second-9", { kind: "events", steps });
    const { raw, complete } = await readSse(await gateway.chat(ask("test.primary-9", { stream: true }), { key }));
    assert.equal(complete, true);
    assert.match(raw, /"content":"Begin".*"code":"upstream_invalid_response"/s);
    assert.doesNotMatch(raw, /DONE|"finish_reason":"/);
    const [, second] = await rowsOf(keyId);
    assert.deepEqual([second?.closing?.status, second?.closing?.estimated], ["error", true]);
  });

  it("outside the key's list is passed over", async () => {
    const { key } = await scene({ models: ["test.primary-10"] });
    gateway.simulator.scriptModel("test.primary-10", THROTTLED);
    const error = await readError(await gateway.chat(ask("test.primary-10"), { key }));
    assert.deepEqual([error.status, calls(gateway, "test.second-10").length], [429, 0]);
  });

  it("is the fourth attempt at the most", async () => {
    const { key, keyId } = await scene();
    gateway.simulator.scriptModel("test.primary-11", THROTTLED);
    for (const name of ["b", "c", "d"])
      gateway.simulator.scriptModel(`test.${name}-11`, fails("AccessDeniedException"));
    const error = await readError(await gateway.chat(ask("test.primary-11"), { key }));
    assert.deepEqual([error.status, error.headers.get("x-gateway-attempts")], [429, "4"]);
    assert.deepEqual([(await rowsOf(keyId)).length, calls(gateway, "test.e-11").length], [4, 0]);
  });

  it("is tried for an error without a body, and then the stream comes as a whole", async () => {
    const { key } = await scene();
    gateway.simulator.scriptModel("test.primary-12", { kind: "json", status: 503, body: Buffer.alloc(0), times: 3 });
    gateway.simulator.scriptModel("test.second-12", says(MESSAGE, { pace: 20 }));
    const response = await gateway.chat(ask("test.primary-12", { stream: true }), { key });
    await assertAnswer(response, true);
  });

  it("of an alias is allowed to a key that may use the alias alone", async () => {
    const { key } = await scene({ models: ["fast"] });
    gateway.simulator.scriptModel("test.alias-target", [THROTTLED, says(MESSAGE)]);
    const response = await gateway.chat(ask("fast"), { key });
    await assertAnswer(response, false);
    assert.equal(response.headers.get("x-gateway-model"), "test.alias-target");
  });
});

describe("a client that leaves during a second attempt", () => {
  for (const stream of [false, true]) {
    it(`has that attempt ended and its row closed${stream ? ", in the midst of its stream" : ", before its answer"}`, async () => {
      const { key, keyId } = await scene();
      const name = "test.primary-13";
      const slow: Answer = stream
        ? says("one two three four five six", { pace: 300 })
        : says("late", { delay: 60_000 });
      gateway.simulator.scriptModel(name, [THROTTLED, slow]);
      const before = calls(gateway, name).length;
      const abort = new AbortController();
      const response = gateway.chat(ask(name, { stream }), { key, signal: abort.signal });
      const settled = response
        .then((answer) => readSse(answer, (piece) => piece.includes("one") && abort.abort()))
        .catch(() => {});
      await gateway.simulator.waitFor(() => calls(gateway, name).length === before + 4);
      if (!stream) setTimeout(() => abort.abort(), 100);
      await settled;
      await gateway.simulator.waitFor(() => calls(gateway, name).at(-1)?.aborted === true);
      const rows = await rowsOf(keyId);
      assert.deepEqual(
        rows.map(({ closing }) => [closing?.status, closing?.httpStatus]),
        [
          ["error", 429],
          ["interrupted", stream ? 200 : 499],
        ],
      );
      assert.equal(rows[1]?.closing?.estimated, true);
    });
  }
});

it("leaves no connection to the egress listener behind that is still in use", async () => {
  const inUse = () => Object.keys(globalAgent.sockets).filter((name) => name.includes("egress.sock"));
  await until("no connection in use", () => (inUse().length === 0 ? true : undefined));
});

const TOOLS = {
  tools: [{ type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } }],
};

function refuses(field: string): Answer {
  return fails("ValidationException", {
    message: `This model doesn't support the ${field} field. Remove ${field} and try again.`,
  });
}

function text(content: string): StreamStep {
  return { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: content } } };
}

/** A model and a key of a test's own. */
async function scene({ models = [] }: { models?: string[] } = {}) {
  const issued = await gateway.keys.create({ name: "recovery", models });
  return { model: uniqueModel(), key: issued.secret, keyId: issued.key.id };
}

async function assertAnswer(response: Response, stream: boolean): Promise<void> {
  if (!stream) {
    const body = await response.text();
    assert.equal(response.status, 200, body);
    assert.equal(JSON.parse(body).choices[0].message.content, MESSAGE);
    return;
  }
  const { raw, complete } = await readSse(response);
  assert.equal(response.status, 200, raw);
  assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  const content = [...raw.matchAll(/"content":"([^"]*)"/g)].map(([, piece]) => piece).join("");
  assert.deepEqual([content, complete], [MESSAGE, true]);
  assert.match(raw, /data: \[DONE\]\n\n$/);
}

function chats({ simulator }: TestGateway): RecordedRequest[] {
  return simulator.requests.filter(({ operation }) => operation.startsWith("Converse"));
}

function calls(from: TestGateway, model: string): RecordedRequest[] {
  return chats(from).filter(({ modelId }) => modelId === model);
}

/** A member of the body that arrived. */
function at(request: RecordedRequest | undefined, ...path: string[]): unknown {
  return path.reduce<unknown>((value, name) => (isJsonObject(value) ? value[name] : undefined), request?.json);
}

/** All rows of a key, once they are closed. */
async function rowsOf(keyId: string) {
  const rows = (await gateway.usage()).filter((row) => row.keyId === keyId);
  return Promise.all(rows.map(({ id }) => gateway.closedCall(id)));
}

async function used(keyId: string) {
  const total = (await gateway.store.reports.totals({ by: "key" })).find(({ group }) => group === keyId);
  return {
    requests: total?.requests,
    inputTokens: total?.inputTokens,
    outputTokens: total?.outputTokens,
    estimated: total?.estimatedRequests,
  };
}
