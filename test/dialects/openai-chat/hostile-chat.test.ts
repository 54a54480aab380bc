/** Requests that are made to hurt: deep, long, repetitive, or with names that JavaScript treats in its own way. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Conversation } from "../../../src/dialects/dialect.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { GatewayError } from "../../../src/errors.ts";
import { parseJson, stringifyJson } from "../../../src/json.ts";

const MANY = 100_000;
const HI = [{ role: "user", content: "Hi" }];
const call = (id: string, name = "f") => ({ id, type: "function", function: { name, arguments: "{}" } });

describe("JSON nested 10,000 deep", () => {
  const deep = `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`;
  const value = JSON.parse(deep);
  const bodies: [string, object][] = [
    ["tools[0].function.parameters", { messages: HI, tools: [{ function: { name: "f", parameters: value } }] }],
    [
      "response_format.json_schema.schema",
      { messages: HI, response_format: { type: "json_schema", json_schema: { schema: value } } },
    ],
    ["additional_model_request_fields", { messages: HI, additional_model_request_fields: { x: value } }],
    [
      "messages[0].tool_calls[0].function.arguments",
      { messages: [{ role: "assistant", tool_calls: [{ id: "c", function: { name: "f", arguments: deep } }] }] },
    ],
    ["messages[0].content[0].input", { messages: [{ role: "assistant", content: [toolUsePart(value)] }] }],
  ];
  for (const [param, body] of bodies) {
    it(`is refused in ${param}`, () => {
      assert.throws(() => decode(body), {
        name: "GatewayError",
        code: "invalid_request",
        param,
        message: `${param} must not be nested more than 100 levels deep.`,
      });
    });
  }
  it("is ignored in fields that are ignored", () => {
    assert.equal(decode({ messages: HI, store: value, metadata: { a: value } }).request.messages.length, 1);
  });
  it("is left as text in arguments that cannot be parsed", () => {
    const tool_calls = [{ id: "c", function: { name: "f", arguments: deep.slice(0, -1) } }];
    const { request } = decode({ messages: [{ role: "assistant", tool_calls }] });
    assert.match(stringifyJson(request), /"invalid_json":"\{/);
  });
});

describe(`${MANY} of a thing`, () => {
  const long: [string, object][] = [
    ["messages", { messages: repeat((n) => ({ role: n % 2 === 0 ? "user" : "assistant", content: `m${n}` })) }],
    ["messages of one role", { messages: repeat((n) => ({ role: "user", content: `m${n}` })) }],
    ["parts", { messages: [{ role: "user", content: repeat(() => ({ type: "text", text: "x" })) }] }],
    ["documents of one name", { messages: [{ role: "user", content: repeat(() => file("a.txt")) }] }],
    ["calls of one id", { messages: [...HI, { role: "assistant", tool_calls: repeat(() => call("c")) }] }],
    [
      "long ids with the same beginning, each twice",
      { messages: [...HI, { role: "assistant", tool_calls: repeat((n) => call("i".repeat(60) + (n >> 1))) }] },
    ],
    [
      "results for one call",
      {
        messages: [
          ...HI,
          { role: "assistant", tool_calls: [call("c")] },
          ...repeat(() => ({ role: "tool", tool_call_id: "c", content: "r" })),
        ],
      },
    ],
    [
      "orphaned results with many parts",
      { messages: [...HI, { role: "tool", tool_call_id: "c", content: repeat(() => ({ type: "text", text: "x" })) }] },
    ],
    [
      "calls and results of one id",
      {
        messages: [
          ...HI,
          { role: "assistant", tool_calls: repeat(() => call("c")) },
          ...repeat(() => ({ role: "tool", tool_call_id: "c", content: "r" })),
        ],
      },
    ],
    ["tools", { messages: HI, tools: repeat((n) => ({ function: { name: `f${n}` } })) }],
    ["functions", { messages: HI, functions: repeat((n) => ({ name: `f${n}` })) }],
    [
      "cache points",
      { messages: repeat(() => ({ role: "user", content: "x", cache_control: { type: "ephemeral" } })) },
    ],
    ["links", { messages: [{ role: "user", content: repeat(() => link()) }] }],
    ["unknown tools", { messages: HI, tools: repeat((n) => ({ type: `t${n}` })) }],
    ["metadata entries", { messages: HI, metadata: Object.fromEntries(repeat((n) => [`k${n}`, "v"])) }],
    ["input items", { input: repeat((n) => ({ type: "function_call", call_id: `c${n}`, name: "f", arguments: "" })) }],
  ];
  for (const [what, body] of long) {
    it(`${what} are read in seconds at most, not minutes`, () => {
      const start = performance.now();
      const { request } = decode(body);
      stringifyJson(request);
      assert.ok(performance.now() - start < 5_000, `took ${performance.now() - start} ms`);
    });
  }
});

describe("names of JavaScript's own", () => {
  it("stay data, wherever a client may put its own keys", () => {
    const keys = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1,"b":1,"a":2}';
    const args = JSON.stringify(keys);
    const { request, intent } = decode(
      parseJson(`{
        "metadata": {"__proto__": "m", "constructor": "c"},
        "additional_model_request_fields": ${keys},
        "response_format": {"type": "json_schema", "json_schema": {"schema": ${keys}}},
        "tools": [{"type": "function", "function": {"name": "__proto__", "parameters": {"properties": ${keys}}}}],
        "messages": [
          {"role": "user", "content": "Hi"},
          {"role": "assistant", "tool_calls": [{"id": "__proto__", "function": {"name": "constructor", "arguments": ${args}}}]},
          {"role": "tool", "tool_call_id": "__proto__", "content": "ok"}]}`),
    );
    assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
    assert.equal("polluted" in {}, false);
    assert.equal(stringifyJson(intent.modelFields), keys);
    assert.equal(intent.format?.type === "json_schema" && stringifyJson(intent.format.schema), keys);
    const sent = stringifyJson(request);
    assert.ok(sent.includes(`"properties":${keys}`), sent);
    assert.ok(sent.includes(`"input":${keys}`), sent);
    assert.ok(sent.includes('"requestMetadata":{"__proto__":"m","constructor":"c"}'), sent);
  });

  it("do not stand for formats", () => {
    for (const name of ["constructor", "toString", "__proto__"]) {
      const body = { messages: [{ role: "user", content: [{ ...file(`a.${name}`), type: "input_file" }] }] };
      assert.throws(() => decode(body), GatewayError);
    }
  });
});

describe("a link", () => {
  it("is filled in when its image is there, in the middle of everything else", () => {
    const messages = [
      ...HI,
      { role: "assistant", tool_calls: [call("c")] },
      { role: "tool", tool_call_id: "c", content: [link()] },
      { role: "user", content: [{ type: "text", text: "x", cache_control: { type: "ephemeral" } }, link()] },
      { role: "tool", tool_call_id: "gone", content: [link()] },
    ];
    const { request, remoteImages } = decode({ messages });
    assert.deepEqual(
      remoteImages.map(({ param }) => param),
      [
        "messages[2].content[0].image_url.url",
        "messages[3].content[1].image_url.url",
        "messages[4].content[0].image_url.url",
      ],
    );
    for (const [n, { place }] of remoteImages.entries())
      place({ format: "webp", source: { bytes: Buffer.from([n]).toString("base64") } });
    const images = [...stringifyJson(request).matchAll(/"image":(\{.*?\}\})/g)].map(([, image]) =>
      JSON.parse(image ?? ""),
    );
    assert.deepEqual(
      images,
      ["AA==", "AQ==", "Ag=="].map((bytes) => ({ format: "webp", source: { bytes } })),
    );
  });
});

function decode(body: unknown): Conversation {
  return openaiChat.decode({ model: "m", ...Object(body) }, { id: "1", created: 1 });
}

function repeat<T>(make: (n: number) => T): T[] {
  return Array.from({ length: MANY }, (_, n) => make(n));
}

function toolUsePart(input: unknown): object {
  return { type: "tool_use", id: "c", name: "f", input };
}

function file(filename: string): object {
  return { type: "input_file", filename, file_data: "YQ==" };
}

function link(): object {
  return { type: "image_url", image_url: { url: "https://example.com/a.png" } };
}
