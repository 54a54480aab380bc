/**
 * What every dialect promises, whatever its API looks like. A new one is covered by a line in contract-clients.ts, which
 * says what a client of it sends and takes from an answer.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseEvent, ConverseResponse } from "../../src/bedrock/converse.ts";
import { converseEvents } from "../../src/bedrock/converse-events.ts";
import { converseResponse } from "../../src/bedrock/converse-response.ts";
import { frames } from "../../src/bedrock/event-stream.ts";
import type { Conversation, Dialect } from "../../src/dialects/dialect.ts";
import { Field } from "../../src/dialects/fields.ts";
import { dialects, embeddingsDialects } from "../../src/dialects/index.ts";
import { encodeEvent, KEEP_ALIVE, sse } from "../../src/dialects/sse.ts";
import { ERROR_KINDS, type ErrorCode, GatewayError, toGatewayError } from "../../src/errors.ts";
import { type JsonObject, parseJson, stringifyJson } from "../../src/json.ts";
import { eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { chain } from "../../src/transform.ts";
import { type Answer, type Client, checkOpenAiError, clientOf, hearStream, hearWhole } from "./contract-clients.ts";

const META = { id: "0123456789abcdef", created: 1_700_000_000 };
const TOOL = "git.log/all things";
const TEXT = ["Grüße, ", 'line\n\ndata: "x" 🙂', "\u2028."];
const REASONING = ["I should ", "look."];
const INPUT = '{"id":12345678901234567890,"path":"/tmp/ü","z":1,"a":[0.5,null]}';
const USAGE = { inputTokens: 7, outputTokens: 5, totalTokens: 24, cacheReadInputTokens: 8, cacheWriteInputTokens: 4 };
const TOKENS = { input: 7, output: 5, read: 8, written: 4 };
const STOP_REASONS = [
  "end_turn",
  "tool_use",
  "max_tokens",
  "stop_sequence",
  "guardrail_intervened",
  "content_filtered",
  "malformed_model_output",
  "malformed_tool_use",
  "model_context_window_exceeded",
  "something_new",
  "",
];
const ERROR_CODES = Object.keys(ERROR_KINDS).filter((code): code is ErrorCode => code in ERROR_KINDS);
const SECRET = "the cause, which is for the log";

for (const dialect of dialects) {
  describe(`the contract of ${dialect.name}`, () => {
    const client = clientOf(dialect);
    const asked = { ...client.request, ...client.tools?.(TOOL) };
    const decode = (more: JsonObject = {}) => dialect.decode({ ...asked, ...more }, META);
    const streaming = () => decode(client.streamed);
    const name = toolName(decode());
    const whole = (stopReason?: string) => hearWhole(client, decode().reply([response(name, stopReason)]));
    const pieces = streamFrames(name);
    const told = renderAll(dialect, streaming(), pieces);

    it("says all of a whole answer: text, reasoning and calls to the last digit, with the client's names", () => {
      assert.deepEqual(plain(whole()), expected(client));
    });

    it("says all of a stream, the same", () => {
      assert.deepEqual(plain(hearStream(client, told)), expected(client));
    });

    it("ends a stream once, and only at its end", () => {
      const ends = (text: string) => hearStream(client, text).ends;
      assert.equal(ends(told), 1);
      assert.equal(ends(`${told.trimEnd().split("\n\n").slice(0, -1).join("\n\n")}\n\n`), 0);
    });

    it("repeats one id, time and model in all of an answer, streamed or not", () => {
      const [streamed, answered] = [hearStream(client, told).heads, whole().heads];
      assert.equal(streamed.size, 1);
      assert.deepEqual(streamed, answered);
      assert.match([...streamed].join(), /0123456789abcdef/);
      assert.match([...streamed].join(), /\bm\b/);
    });

    it("says the same bytes however Bedrock's are cut", () => {
      const bytes = Buffer.concat(pieces);
      const single = Array.from(bytes, (_byte, at) => bytes.subarray(at, at + 1));
      assert.equal(renderAll(dialect, streaming(), single), told);
      assert.equal(renderAll(dialect, streaming(), [bytes]), told);
      for (let at = 1; at < bytes.length; at += 1)
        assert.equal(renderAll(dialect, streaming(), [bytes.subarray(0, at), bytes.subarray(at)]), told, `at ${at}`);
    });

    it("asks Bedrock for the same whatever the call's id and time, and for no more", () => {
      const again = dialect.decode({ ...asked }, { id: "another", created: 1 });
      assert.equal(stringifyJson(again.request), stringifyJson(decode().request));
      assert.equal(stringifyJson(again.intent), stringifyJson(decode().intent));
      assert.equal(stringifyJson(streaming().request), stringifyJson(decode().request));
      assert.deepEqual([decode().warnings, streaming().warnings], [[], []]);
      assert.deepEqual([decode().stream, streaming().stream, decode().model, decode().choices], [false, true, "m", 1]);
    });

    const two = client.twoChoices;
    if (two !== undefined)
      it("finishes each of several choices once, and tells the tokens of all", () => {
        const answers = [response(name), response(name, "max_tokens")];
        const answered = hearWhole(client, decode(two).reply(answers));
        const conversation = decode({ ...client.streamed, ...two });
        assert.equal(conversation.choices, 2);
        const machines = answers.map((_answer, choice) => conversation.events(choice));
        const events = answers.map((_answer, choice) =>
          readEvents(streamFrames(name, choice ? "max_tokens" : undefined)),
        );
        const parts = events[0]?.flatMap((_event, at) =>
          machines.flatMap((machine, choice) => [...machine.push(eventAt(events[choice], at))]),
        );
        const closing = [...machines.flatMap((machine) => [...machine.end()]), ...conversation.closing()];
        const streamed = hearStream(client, text([...(parts ?? []), ...closing].map(encodeEvent)));
        for (const { choices, usage } of [answered, streamed]) {
          assert.deepEqual(
            choices.map(({ finishes }) => finishes),
            [client.tools ? ["tool_calls"] : ["stop"], ["length"]],
          );
          assert.deepEqual(usage, [{ input: 14, output: 10, read: 16, written: 8 }]);
        }
      });

    for (const reason of STOP_REASONS) {
      it(`has one word for ${reason || "no reason"}, streamed or not`, () => {
        const streamed = hearStream(client, renderAll(dialect, streaming(), streamFrames(name, reason)));
        assert.equal(streamed.finishes.length, 1);
        assert.ok(client.finishes.includes(streamed.finishes.join()), streamed.finishes.join());
        assert.deepEqual(whole(reason).finishes, streamed.finishes);
      });
    }

    it("has a word of its own for an answer that is cut off and for one that was held back", () => {
      const [ended, cut, held] = ["end_turn", "max_tokens", "content_filtered"].map(
        (reason) => whole(reason).finishes[0],
      );
      assert.equal(new Set([ended, cut, held]).size, 3);
    });

    it("tells no tokens where Bedrock told none, and is complete all the same", () => {
      const streamed = hearStream(client, renderAll(dialect, streaming(), pieces.slice(0, -1)));
      assert.deepEqual([streamed.finishes.length, streamed.ends], [1, 1]);
      const known = streamed.usage.filter(({ input, output }) => input + output > 0);
      assert.deepEqual(known, []);
    });

    it("never looks finished when the stream stops before its end", () => {
      const stop = pieces.length - 2;
      for (let cut = 0; cut < stop; cut += 1) {
        const conversation = streaming();
        const stream = chain(frames(), converseEvents(), conversation.events(0), sse());
        const sent = text(pieces.slice(0, cut).flatMap((piece) => [...stream.push(piece)]));
        assert.throws(() => [...stream.end()], { name: "GatewayError", code: "upstream_invalid_response" });
        const before = hearStream(client, sent);
        assert.deepEqual([before.finishes, before.ends, before.errors], [[], 0, []]);
        const failed = hearStream(client, renderAll(dialect, streaming(), pieces.slice(0, cut)));
        assert.deepEqual([failed.finishes, failed.ends, failed.errors.length], [[], 0, 1], `after ${cut} events`);
      }
    });

    it("ends with an error event and nothing more when Bedrock fails in the middle", () => {
      for (let cut = 0; cut < pieces.length - 2; cut += 1) {
        const broken = [...pieces.slice(0, cut), exceptionFrame("throttlingException", { message: "Slow down." })];
        const heard = hearStream(client, renderAll(dialect, streaming(), broken));
        assert.deepEqual([heard.finishes, heard.ends, heard.errors], [[], 0, ["Slow down."]], `after ${cut} events`);
      }
    });

    it("takes its silence for nothing said", () => {
      const silence =
        dialect.keepAlive === undefined ? KEEP_ALIVE.toString() : encodeEvent(dialect.keepAlive).toString();
      const kept = `${silence}${told.replaceAll("\n\n", `\n\n${silence}`)}`;
      assert.deepEqual(hearStream(client, kept), hearStream(client, told));
    });

    it("skips events that Bedrock may add", () => {
      const news = eventFrame("somethingNew", { contentBlockIndex: 0, delta: { text: "no" } });
      assert.equal(renderAll(dialect, streaming(), [news, ...pieces.flatMap((piece) => [piece, news])]), told);
    });
  });
}

for (const dialect of [...dialects, ...embeddingsDialects]) {
  describe(`the errors of ${dialect.name}`, () => {
    const streams = "errorEvents" in dialect ? dialect : undefined;
    const check = streams === undefined ? checkOpenAiError : clientOf(streams).checkError;

    for (const code of ERROR_CODES) {
      it(`has its own shape for ${code}, with a message and without the cause`, () => {
        const error = new GatewayError(code, "It failed.", { param: "a[0].b", cause: new Error(SECRET) });
        for (const id of ["request-1", undefined]) {
          const body = dialect.errorBody(error, id);
          checkError(stringifyJson(body), check);
          const events = [...(streams?.errorEvents(error, id) ?? [])];
          assert.equal(events.length, streams === undefined ? 0 : 1);
          for (const { data } of events) assert.deepEqual(data, body);
        }
        const status = streams?.errorStatus?.(error) ?? error.status;
        assert.ok(status >= 400 && status < 600, `${status}`);
        // Retries hang on the class of the status.
        assert.equal(Math.trunc(status / 100), Math.trunc(error.status / 100));
      });

      if (streams === undefined) continue;
      it(`ends a stream that has begun with ${code} and no finish`, () => {
        const client = clientOf(streams);
        const error = new GatewayError(code, "It failed.", { cause: new Error(SECRET) });
        const conversation = streams.decode({ ...client.request, ...client.streamed }, META);
        const machine = conversation.events(0);
        const began = readEvents(streamFrames("f").slice(0, 3)).flatMap((event) => [...machine.push(event)]);
        const failed = [...(conversation.failing?.(error) ?? streams.errorEvents(error))];
        const sent = text([...began, ...failed].map(encodeEvent));
        assert.ok(!sent.includes(SECRET));
        const { errors, finishes, ends } = hearStream(client, sent);
        assert.deepEqual([errors.length, finishes, ends], [1, [], 0]);
        assert.match(errors.join(), /It failed\.$/);
      });
    }
  });
}

function checkError(json: string, check: Client["checkError"]): void {
  assert.ok(!json.includes(SECRET));
  const body = Field.root(parseJson(json));
  check(body);
  assert.match(body.at("error").at("message").string(), /It failed\.$/);
}

/** What is left of an answer for comparison. */
function plain({ choices, usage, errors }: Answer) {
  return { choices: choices.map(({ finishes: _, ...said }) => said), usage, errors };
}

function expected({ tools }: Client) {
  const said = { text: TEXT.join(""), reasoning: "", calls: [] };
  const calls = [
    { id: "tooluse_1", name: TOOL, input: INPUT },
    { id: "tooluse_2", name: "plain", input: "{}" },
  ];
  const choice = tools === undefined ? said : { ...said, reasoning: REASONING.join(""), calls };
  return { choices: [choice], usage: [TOKENS], errors: [] };
}

/** What Bedrock calls the tool that the client offers. */
function toolName({ request }: Conversation): string {
  const [tool] = request.toolConfig?.tools ?? [];
  if (tool === undefined || !("toolSpec" in tool)) return "f";
  assert.match(tool.toolSpec.name, /^[a-zA-Z0-9_-]{1,64}$/);
  return tool.toolSpec.name;
}

function response(name: string, stopReason = "tool_use"): ConverseResponse {
  const content = [
    { reasoningContent: { reasoningText: { text: REASONING.join(""), signature: "c2ln" } } },
    ...TEXT.map((text) => ({ text })),
    { toolUse: { toolUseId: "tooluse_1", name, input: parseJson(INPUT) } },
    { toolUse: { toolUseId: "tooluse_2", name: "plain", input: {} } },
  ];
  return converseResponse({ output: { message: { role: "assistant", content } }, stopReason, usage: USAGE });
}

/** The same answer as ConverseStream sends it: messageStop and metadata come last. */
function streamFrames(name: string, stopReason = "tool_use"): Buffer[] {
  const delta = (contentBlockIndex: number, delta: JsonObject) =>
    eventFrame("contentBlockDelta", { contentBlockIndex, delta });
  const stop = (contentBlockIndex: number) => eventFrame("contentBlockStop", { contentBlockIndex });
  const call = (contentBlockIndex: number, toolUseId: string, called: string) =>
    eventFrame("contentBlockStart", { contentBlockIndex, start: { toolUse: { toolUseId, name: called } } });
  return [
    eventFrame("messageStart", { role: "assistant" }),
    ...REASONING.map((text) => delta(0, { reasoningContent: { text } })),
    delta(0, { reasoningContent: { signature: "c2ln" } }),
    stop(0),
    ...TEXT.map((text) => delta(1, { text })),
    stop(1),
    call(2, "tooluse_1", name),
    ...[INPUT.slice(0, 12), INPUT.slice(12)].map((input) => delta(2, { toolUse: { input } })),
    stop(2),
    call(3, "tooluse_2", "plain"),
    stop(3),
    eventFrame("messageStop", { stopReason }),
    eventFrame("metadata", { usage: USAGE, metrics: { latencyMs: 1 } }),
  ];
}

function readEvents(pieces: readonly Buffer[]): ConverseEvent[] {
  const reader = chain(frames(), converseEvents());
  return pieces.flatMap((piece) => [...reader.push(piece)]);
}

function eventAt(events: readonly ConverseEvent[] | undefined, at: number): ConverseEvent {
  const event = events?.[at];
  assert.ok(event);
  return event;
}

/** As the exchange does it, from Bedrock's bytes to the client's. */
function renderAll(dialect: Dialect, conversation: Conversation, pieces: readonly Buffer[]): string {
  const stream = chain(frames(), converseEvents(), conversation.events(0), sse());
  const parts: Buffer[] = [];
  try {
    for (const piece of pieces) for (const part of stream.push(piece)) parts.push(part);
    parts.push(...stream.end(), ...[...conversation.closing()].map(encodeEvent));
  } catch (error) {
    const failure = toGatewayError(error);
    parts.push(...[...(conversation.failing?.(failure) ?? dialect.errorEvents(failure))].map(encodeEvent));
  }
  return text(parts);
}

function text(parts: readonly Buffer[]): string {
  return Buffer.concat(parts).toString("utf8");
}
