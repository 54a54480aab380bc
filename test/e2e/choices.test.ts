/**
 * Several choices at once: OpenAI's `n`. The first goes the usual way, the others through the egress listener, each a call
 * and a ledger row of its own; the client has one request and one answer.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { isJsonObject } from "../../src/json.ts";
import { fails, type RecordedRequest, type StreamStep, says } from "../../src/simulator/simulator.ts";
import { ask, readError, readSse, startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const START: StreamStep = { event: "messageStart", payload: { role: "assistant" } };
const usage = (inputTokens: number, outputTokens: number) => ({
  inputTokens,
  outputTokens,
  totalTokens: inputTokens + outputTokens,
});
/** Answers in the order in which the calls arrive, which is any. */
const THREE = [
  says("one", { usage: usage(10, 1) }),
  says("two", { usage: usage(10, 2) }),
  says("three", { usage: usage(10, 3) }),
];

describe("three choices", { concurrency: true }, () => {
  it("are one answer with three rows that count as one request", async () => {
    const { model, key, keyId } = await scene();
    gateway.simulator.scriptModel(model, THREE);
    const response = await gateway.chat(ask(model, { n: 3 }), { key });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    const { choices, usage: sum } = JSON.parse(text);
    assert.deepEqual(
      choices.map(({ index }: { index: number }) => index),
      [0, 1, 2],
    );
    assert.deepEqual(choices.map(({ message }: { message: { content: string } }) => message.content).sort(), [
      "one",
      "three",
      "two",
    ]);
    assert.deepEqual([sum.prompt_tokens, sum.completion_tokens, sum.total_tokens], [30, 6, 36]);
    assert.equal(response.headers.get("x-gateway-attempts"), null);
    await assertThreeRows(response.headers.get("x-request-id"), keyId);
    assert.deepEqual(
      calls(model).map(({ leaks }) => leaks),
      [[], [], []],
    );
    assert.equal(new Set(calls(model).map(({ body }) => body)).size, 1);
  });

  it("are one stream whose pieces name their choice, with one end", async () => {
    const { model, key, keyId } = await scene();
    gateway.simulator.scriptModel(
      model,
      THREE.map((answer, index) => ({ ...answer, pace: 10 * (index + 1) })),
    );
    const body = ask(model, { n: 3, stream: true, stream_options: { include_usage: true } });
    const response = await gateway.chat(body, { key });
    const { raw, data, complete } = await readSse(response);
    assert.deepEqual([response.status, complete], [200, true], raw);
    const texts: Record<number, string> = {};
    const finished: number[] = [];
    for (const chunk of data.slice(0, -2)) {
      assert.ok(isJsonObject(chunk) && Array.isArray(chunk.choices), raw);
      assert.equal(chunk.choices.length, 1);
      const [choice] = chunk.choices.filter(isJsonObject);
      const index = Number(choice?.index);
      assert.ok(!finished.includes(index), "nothing of a choice comes after its end");
      if (isJsonObject(choice?.delta)) texts[index] = (texts[index] ?? "") + String(choice.delta.content ?? "");
      if (choice?.finish_reason !== null) finished.push(index);
    }
    assert.deepEqual(Object.keys(texts), ["0", "1", "2"]);
    assert.deepEqual(Object.values(texts).sort(), ["one", "three", "two"]);
    assert.deepEqual(finished.toSorted(), [0, 1, 2]);
    const [sum, end] = data.slice(-2);
    assert.ok(isJsonObject(sum) && isJsonObject(sum.usage), raw);
    assert.deepEqual([sum.choices, sum.usage.prompt_tokens, sum.usage.completion_tokens], [[], 30, 6]);
    assert.equal(end, "[DONE]");
    assert.equal(raw.match(/\[DONE\]/g)?.length, 1);
    assert.equal(new Set(data.filter(isJsonObject).map(({ id }) => id)).size, 1);
    await assertThreeRows(response.headers.get("x-request-id"), keyId);
  });

  it("wait for a first one that is slow, without a byte lost", async () => {
    const { model, key } = await scene();
    const long = "word ".repeat(20_000).trim();
    const answer = (request: RecordedRequest) => (isFirst(request) ? says("slow", { delay: 800 }) : says(long));
    gateway.simulator.scriptModel(model, [answer, answer, answer]);
    const { data, raw } = await readSse(await gateway.chat(ask(model, { n: 3, stream: true }), { key }));
    const contents = new Map<number, string>();
    for (const chunk of data) {
      if (!isJsonObject(chunk) || !Array.isArray(chunk.choices)) continue;
      for (const choice of chunk.choices.filter(isJsonObject)) {
        const index = Number(choice.index);
        if (isJsonObject(choice.delta))
          contents.set(index, (contents.get(index) ?? "") + String(choice.delta.content ?? ""));
      }
    }
    assert.deepEqual([...contents.values()].map(({ length }) => length).sort(), [long.length, long.length, 4].sort());
    assert.match(raw, /data: \[DONE\]\n\n$/);
  });

  for (const stream of [false, true]) {
    it(`all end when the client leaves${stream ? " their stream" : " before their answer"}`, async () => {
      const { model, key, keyId } = await scene();
      const answer = stream ? says("one two three four five six", { pace: 300 }) : says("late", { delay: 60_000 });
      gateway.simulator.scriptModel(model, { ...answer, times: 3 });
      const abort = new AbortController();
      const response = gateway.chat(ask(model, { n: 3, stream }), { key, signal: abort.signal });
      const settled = response
        .then((reply) => readSse(reply, (piece) => piece.includes("one") && abort.abort()))
        .catch(() => {});
      await gateway.simulator.waitFor(() => calls(model).length === 3);
      if (!stream) setTimeout(() => abort.abort(), 100);
      await settled;
      await gateway.simulator.waitFor(() => calls(model).every(({ aborted }) => aborted));
      assert.deepEqual(
        (await rowsOf(keyId)).map(({ closing }) => [closing?.status, closing?.httpStatus, closing?.estimated]),
        Array(3).fill(["interrupted", stream ? 200 : 499, true]),
      );
    });
  }
});

describe("two choices of which one fails", { concurrency: true }, () => {
  for (const stream of [false, true]) {
    it(`are an error while nothing has been sent, and the other one ends${stream ? ", for a stream" : ""}`, async () => {
      const { model, key, keyId } = await scene();
      gateway.simulator.scriptModel(model, [
        fails("ModelErrorException", { message: "Broken." }),
        says("late", { delay: 60_000 }),
      ]);
      const error = await readError(await gateway.chat(ask(model, { n: 2, stream }), { key }));
      assert.deepEqual([error.status, error.code, error.message], [502, "model_error", "Broken."]);
      await gateway.simulator.waitFor(() => calls(model).some(({ aborted }) => aborted));
      assert.deepEqual((await rowsOf(keyId)).map(({ closing }) => [closing?.status, closing?.httpStatus]).sort(), [
        ["error", 502],
        ["interrupted", 502],
      ]);
      const line = await gateway.accessLine(error.headers.get("x-request-id"));
      assert.ok(isJsonObject(line.gateway));
      assert.deepEqual([line.status, line.gateway.error], [502, "model_error"]);
    });
  }

  for (const first of [true, false]) {
    it(`are a stream with an error and no end once something has been sent (the ${first ? "first" : "second"} fails)`, async () => {
      const { model, key, keyId } = await scene();
      const pieces = (part: string): StreamStep[] => [START, text(part), { silence: 300 }];
      const failing: StreamStep[] = [
        ...pieces("bad"),
        { exception: "modelStreamErrorException", payload: { message: "x" } },
      ];
      const going: StreamStep[] = [...pieces("good"), { silence: 60_000 }];
      const answer = (request: RecordedRequest) =>
        ({ kind: "events", steps: isFirst(request) === first ? failing : going }) as const;
      gateway.simulator.scriptModel(model, [answer, answer]);
      const { raw, complete } = await readSse(await gateway.chat(ask(model, { n: 2, stream: true }), { key }));
      assert.equal(complete, true);
      assert.match(raw, /"bad"/);
      assert.match(raw, /"good"/);
      assert.match(raw, /data: {"error":{.*"code":"model_error"}}\n\n$/);
      assert.doesNotMatch(raw, /DONE|"finish_reason":"/);
      await gateway.simulator.waitFor(() => calls(model).some(({ aborted }) => aborted));
      assert.deepEqual(
        (await rowsOf(keyId)).map(({ closing }) => [closing?.status, closing?.httpStatus, closing?.estimated]).sort(),
        [
          ["error", 200, true],
          ["interrupted", 200, true],
        ],
      );
    });
  }

  it("are both answered when what failed can be mended, for each by itself", async () => {
    const { model, key, keyId } = await scene();
    const message = "This model doesn't support the stopSequences field. Remove stopSequences and try again.";
    gateway.simulator.scriptModel(model, fails("ValidationException", { message, times: 2, delay: 100 }));
    const response = await gateway.chat(ask(model, { n: 2, stop: ["."] }), { key });
    const body = await response.text();
    assert.equal(response.status, 200, body);
    assert.equal(JSON.parse(body).choices.length, 2);
    assert.equal(response.headers.get("x-gateway-attempts"), "4");
    const rows = await rowsOf(keyId);
    assert.deepEqual(rows.map(({ closing }) => closing?.status).sort(), ["error", "error", "ok", "ok"]);
    assert.equal(rows.filter(({ callId }) => callId === undefined).length, 1);
  });
});

describe("the number of choices", () => {
  it("has a limit", async () => {
    for (const n of [9, 1_000_000, 0]) {
      const error = await readError(await gateway.chat(ask(uniqueModel(), { n })));
      assert.deepEqual([error.status, error.param], [400, "n"]);
    }
  });
});

function text(content: string): StreamStep {
  return { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: content } } };
}

/** Whether Envoy forwarded the client's own request: the egress listener makes no request id. */
function isFirst({ headers }: RecordedRequest): boolean {
  return headers["x-request-id"] !== undefined;
}

async function scene() {
  const issued = await gateway.keys.create({ name: "choices" });
  return { model: uniqueModel(), key: issued.secret, keyId: issued.key.id };
}

function calls(model: string): RecordedRequest[] {
  return gateway.simulator.requests.filter(({ modelId }) => modelId === model);
}

async function rowsOf(keyId: string) {
  const rows = (await gateway.usage()).filter((row) => row.keyId === keyId);
  return Promise.all(rows.map(({ id }) => gateway.closedCall(id)));
}

async function assertThreeRows(id: string | null, keyId: string): Promise<void> {
  const rows = await rowsOf(keyId);
  assert.deepEqual(rows.map((row) => [row.id, row.callId]).sort(), [
    [id, undefined],
    [`${id}/2`, id],
    [`${id}/3`, id],
  ]);
  assert.deepEqual(
    rows.map(({ closing }) => [closing?.status, closing?.estimated, closing?.usage.inputTokens]),
    Array(3).fill(["ok", false, 10]),
  );
  const total = (await gateway.store.reports.totals({ by: "key" })).find(({ group }) => group === keyId);
  assert.deepEqual([total?.requests, total?.inputTokens, total?.outputTokens], [1, 30, 6]);
  const line = await gateway.accessLine(id);
  assert.ok(isJsonObject(line.gateway));
  assert.deepEqual([line.gateway.attempts, line.gateway.input_tokens, line.gateway.output_tokens], [3, 30, 6]);
}
