/**
 * A client of each API, as the contract needs it: the least it asks for, and what it takes from the bytes of an answer.
 *
 * Written from the APIs' documentation and not from our renderers: `hear` reads a whole answer's object and each of a
 * stream's events, and knows what a finish, tokens and an error look like. A dialect without a line here fails the contract.
 */
import assert from "node:assert/strict";
import { Field } from "../../src/dialects/fields.ts";
import { type JsonObject, parseJson, stringifyJson } from "../../src/json.ts";

export interface Client {
  /** The least that is a request, for one answer. */
  readonly request: JsonObject;
  /** What asks for a stream that tells its tokens, beside the request. */
  readonly streamed: JsonObject;
  /** What asks for two answers, where the API can. */
  readonly twoChoices?: JsonObject;
  /** What offers a tool; absent where the API has neither tools nor reasoning. */
  tools?(name: string): JsonObject;
  hear(data: Field, answer: Answer): void;
  /** All words for why an answer ended. */
  readonly finishes: readonly string[];
  /** Throws where an error's body is not one of this API's. */
  checkError(body: Field): void;
}

export interface Choice {
  text: string;
  reasoning: string;
  calls: { id: string; name: string; input: string }[];
  finishes: string[];
}

/** `input` is without what the prompt cache gave or took. */
export interface Tokens {
  input: number;
  output: number;
  read: number;
  written: number;
}

/** What a client has taken from an answer. Nothing is lost by hearing it twice: it is there twice. */
export class Answer {
  readonly choices: Choice[] = [];
  readonly usage: Tokens[] = [];
  /** What all objects of an answer repeat: one, if they do. */
  readonly heads = new Set<string>();
  readonly errors: string[] = [];
  /** How often the stream said that it is over. */
  ends = 0;

  choice(index: number): Choice {
    this.choices[index] ??= { text: "", reasoning: "", calls: [], finishes: [] };
    return this.choices[index];
  }

  get finishes(): string[] {
    return this.choices.flatMap(({ finishes }) => finishes);
  }
}

export function clientOf(dialect: { readonly name: string }): Client {
  const client = clients[dialect.name];
  assert.ok(client, `${dialect.name} needs a line in contract-clients.ts`);
  return client;
}

export function hearWhole(client: Client, body: unknown): Answer {
  const answer = new Answer();
  client.hear(Field.root(parseJson(stringifyJson(body))), answer);
  return answer;
}

/** https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, as far as it is used. */
export function hearStream(client: Client, text: string): Answer {
  const answer = new Answer();
  assert.ok(text === "" || text.endsWith("\n\n"), "an event that does not end is never dispatched");
  for (const block of text.split("\n\n")) {
    const lines = block.split("\n").filter((line) => line !== "" && !line.startsWith(":"));
    const name = lines.find((line) => line.startsWith("event: "))?.slice("event: ".length);
    const data = lines.flatMap((line) => (line.startsWith("data: ") ? [line.slice("data: ".length)] : [])).join("\n");
    if (data === "[DONE]") answer.ends += 1;
    else if (data !== "") {
      const field = Field.root(parseJson(data));
      if (name !== undefined) assert.equal(field.at("type").string(), name);
      client.hear(field, answer);
    }
  }
  return answer;
}

const CHAT_FINISHES = ["stop", "length", "content_filter"];

const clients: Readonly<Record<string, Client>> = {
  "openai-chat": {
    request: { model: "m", messages: [{ role: "user", content: "Hi" }] },
    streamed: { stream: true, stream_options: { include_usage: true } },
    twoChoices: { n: 2 },
    tools: (name) => ({ tools: [{ type: "function", function: { name } }] }),
    hear: hearChat,
    finishes: [...CHAT_FINISHES, "tool_calls"],
    checkError: checkOpenAiError,
  },
  "openai-responses": {
    request: { model: "m", input: "Hi" },
    streamed: { stream: true },
    tools: (name) => ({ tools: [{ type: "function", name }] }),
    hear: hearResponse,
    finishes: ["completed", "incomplete max_output_tokens", "incomplete content_filter"],
    checkError: checkOpenAiError,
  },
  "anthropic-messages": {
    request: { model: "m", max_tokens: 100, messages: [{ role: "user", content: "Hi" }] },
    streamed: { stream: true },
    tools: (name) => ({ tools: [{ name, input_schema: { type: "object" } }] }),
    hear: hearMessage,
    finishes: ["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "model_context_window_exceeded"],
    checkError(body) {
      assert.equal(body.at("type").string(), "error");
      assert.deepEqual(Object.keys(body.at("error").object()), ["type", "message"]);
      assert.match(body.at("error").at("type").string(), /^[a-z_]+_(error|large)$/);
      assert.ok(["string", "undefined"].includes(typeof body.at("request_id").value));
    },
  },
  "openai-completions": {
    request: { model: "m", prompt: "Hi" },
    streamed: { stream: true, stream_options: { include_usage: true } },
    twoChoices: { n: 2 },
    hear: hearChat,
    finishes: CHAT_FINISHES,
    checkError: checkOpenAiError,
  },
};

export function checkOpenAiError(body: Field): void {
  const error = body.at("error").object();
  assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
  assert.equal(typeof error.type, "string");
  for (const value of [error.param, error.code]) assert.ok(value === null || typeof value === "string");
}

/** Chat Completions and its older sibling, whole answers and chunks: all of the same plan. */
function hearChat(data: Field, answer: Answer): void {
  if (heardError(data, answer)) return;
  answer.heads.add(["id", "created", "model"].map((key) => stringifyJson(data.at(key).value)).join(" "));
  for (const choice of data.at("choices").items()) {
    const heard = answer.choice(choice.at("index").integer(0));
    assert.equal(heard.finishes.length, 0, "nothing follows a finish_reason");
    const said = choice.at("message").absent ? choice.at("delta") : choice.at("message");
    heard.text += text(choice.at("text")) + text(said.at("content"));
    heard.reasoning += text(said.at("reasoning_content"));
    for (const [position, call] of list(said.at("tool_calls")).entries()) {
      const at = call.at("index").absent ? position : call.at("index").integer(0);
      heard.calls[at] ??= { id: "", name: "", input: "" };
      heard.calls[at].id += text(call.at("id"));
      heard.calls[at].name += text(call.at("function").at("name"));
      heard.calls[at].input += text(call.at("function").at("arguments"));
    }
    if (!choice.at("finish_reason").absent) heard.finishes.push(choice.at("finish_reason").string());
  }
  hearTokens(data.at("usage"), "prompt_tokens", "completion_tokens", answer);
}

function hearResponse(data: Field, answer: Answer): void {
  const type = data.at("type").absent ? "response" : data.at("type").string();
  const response = type === "response" ? data : data.at("response");
  if (!response.absent)
    answer.heads.add(["id", "created_at", "model"].map((key) => stringifyJson(response.at(key).value)).join(" "));
  const heard = answer.choice(0);
  switch (type) {
    case "response":
      for (const item of response.at("output").items()) hearItem(item, heard);
      hearEnd(response, answer);
      return;
    case "response.output_text.delta":
      heard.text += data.at("delta").string();
      return;
    case "response.reasoning_summary_text.delta":
      heard.reasoning += data.at("delta").string();
      return;
    case "response.output_item.added":
      if (data.at("item").at("type").value === "function_call") hearItem(data.at("item"), heard);
      return;
    case "response.function_call_arguments.delta":
      lastCall(heard).input += data.at("delta").string();
      return;
    case "response.completed":
    case "response.incomplete": {
      const again = hearResponseAgain(response);
      assert.deepEqual({ ...again.choice(0), finishes: [] }, heard, "the last event repeats what was said before it");
      hearEnd(response, answer);
      answer.ends += 1;
      return;
    }
    case "response.failed":
      assert.equal(response.at("status").string(), "failed");
      assert.equal(answer.errors.length, 1, "SDKs raise the error event that comes before");
      return;
    default:
      heardError(data, answer);
  }
}

function hearResponseAgain(response: Field): Answer {
  const answer = new Answer();
  hearResponse(Field.root(response.value), answer);
  return answer;
}

function hearItem(item: Field, heard: Choice): void {
  for (const part of list(item.at("content"))) heard.text += part.at("text").string();
  for (const part of list(item.at("summary"))) heard.reasoning += part.at("text").string();
  if (item.at("type").value !== "function_call") return;
  const [id, name, input] = ["call_id", "name", "arguments"].map((key) => item.at(key).string());
  heard.calls.push({ id: id ?? "", name: name ?? "", input: input ?? "" });
}

function hearEnd(response: Field, answer: Answer): void {
  const details = response.at("incomplete_details").at("reason");
  answer
    .choice(0)
    .finishes.push([response.at("status").string(), ...(details.absent ? [] : [details.string()])].join(" "));
  hearTokens(response.at("usage"), "input_tokens", "output_tokens", answer);
}

function hearMessage(data: Field, answer: Answer): void {
  const heard = answer.choice(0);
  switch (data.at("type").string()) {
    case "message":
      answer.heads.add(messageHead(data));
      for (const block of data.at("content").items()) hearBlock(block, heard);
      hearStop(data, data.at("usage"), answer);
      return;
    case "message_start":
      answer.heads.add(messageHead(data.at("message")));
      return;
    case "content_block_start":
      hearBlock(data.at("content_block"), heard);
      return;
    case "content_block_delta": {
      const delta = data.at("delta");
      heard.text += text(delta.at("text"));
      heard.reasoning += text(delta.at("thinking"));
      if (delta.at("partial_json").absent) return;
      const call = lastCall(heard);
      // The empty input of a call's start is a place for what comes.
      call.input = (call.input === "{}" ? "" : call.input) + delta.at("partial_json").string();
      return;
    }
    case "message_delta":
      hearStop(data.at("delta"), data.at("usage"), answer);
      return;
    case "message_stop":
      answer.ends += 1;
      return;
    default:
      heardError(data, answer);
  }
}

function hearBlock(block: Field, heard: Choice): void {
  heard.text += text(block.at("text"));
  heard.reasoning += text(block.at("thinking"));
  if (block.at("type").value !== "tool_use") return;
  const input = stringifyJson(block.at("input").object());
  heard.calls.push({ id: block.at("id").string(), name: block.at("name").string(), input });
}

/** The tokens of a stream's start are an estimate; these are the answer's. */
function hearStop(stop: Field, usage: Field, answer: Answer): void {
  answer.choice(0).finishes.push(stop.at("stop_reason").string());
  answer.usage.push({
    input: usage.at("input_tokens").integer(0),
    output: usage.at("output_tokens").integer(0),
    read: usage.at("cache_read_input_tokens").integer(0),
    written: usage.at("cache_creation_input_tokens").integer(0),
  });
}

function messageHead(message: Field): string {
  return ["id", "model"].map((key) => message.at(key).string()).join(" ");
}

function hearTokens(usage: Field, inKey: string, outKey: string, answer: Answer): void {
  if (usage.absent) return;
  const details = usage.at(`${inKey}_details`);
  const [read, written] = ["cached_tokens", "cache_write_tokens"].map((key) => details.at(key).integer(0));
  const input = usage.at(inKey).integer(0);
  const output = usage.at(outKey).integer(0);
  assert.equal(usage.at("total_tokens").integer(0), input + output);
  answer.usage.push({ input: input - (read ?? 0) - (written ?? 0), output, read: read ?? 0, written: written ?? 0 });
}

function heardError(data: Field, answer: Answer): boolean {
  if (data.at("error").absent) return false;
  answer.errors.push(data.at("error").at("message").string());
  return true;
}

function lastCall(heard: Choice): Choice["calls"][number] {
  const call = heard.calls.at(-1);
  assert.ok(call, "a call's input comes after its start");
  return call;
}

function text(field: Field): string {
  return field.absent ? "" : field.string();
}

function list(field: Field): Field[] {
  return field.absent ? [] : field.items();
}
