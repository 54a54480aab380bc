/** Requests that are made to hurt: deep, long, repetitive, or with names that JavaScript treats in its own way. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { converseResponse } from "../../../src/bedrock/converse-response.ts";
import type { Conversation } from "../../../src/dialects/dialect.ts";
import { openaiResponses } from "../../../src/dialects/openai-responses/index.ts";
import { stringifyJson } from "../../../src/json.ts";

const MANY = 100_000;
const HI = { role: "user", content: "Hi" };
const DEEP = `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`;
const deep: unknown = JSON.parse(DEEP);

describe("JSON nested 10,000 deep", () => {
  const bodies: [string, object][] = [
    ["tools[0].parameters", { input: "Hi", tools: [{ type: "function", name: "f", parameters: deep }] }],
    [
      "tools[0].tools[0].parameters",
      {
        input: "Hi",
        tools: [{ type: "namespace", name: "n", tools: [{ type: "function", name: "f", parameters: deep }] }],
      },
    ],
    ["input[0].arguments", { input: [{ type: "function_call", call_id: "c", name: "f", arguments: DEEP }] }],
    ["input[0].action", { input: [{ type: "shell_call", call_id: "c", action: deep }] }],
    ["input[0].output", { input: [{ type: "shell_call_output", call_id: "c", output: [deep] }] }],
    ["text.format.schema", { input: "Hi", text: { format: { type: "json_schema", name: "x", schema: deep } } }],
  ];
  for (const [param, body] of bodies) {
    it(`is refused in ${param}`, () => {
      const message = `${param} must not be nested more than 100 levels deep.`;
      assert.throws(() => decode(body), { name: "GatewayError", code: "invalid_request", param, message });
    });
  }

  it("is left out of the answer where it is only repeated", () => {
    const odd = { tools: [{ type: "mcp", x: deep }], text: { x: deep }, metadata: { x: deep }, user: "u" };
    const reply = answer(decode({ input: "Hi", ...odd }));
    assert.deepEqual(
      [reply.tools, reply.metadata, reply.text, reply.user],
      [[], {}, { format: { type: "text" } }, "u"],
    );
  });

  it("is not ours in encrypted reasoning", () => {
    const encrypted_content = `converse:${Buffer.from(DEEP).toString("base64")}`;
    const { request } = decode({ input: [HI, { type: "reasoning", summary: [], encrypted_content }] });
    assert.equal(request.messages.length, 1);
  });
});

describe(`${MANY} of a thing`, () => {
  const long: [string, object][] = [
    ["items", { input: repeat((n) => ({ role: n % 2 === 0 ? "user" : "assistant", content: `m${n}` })) }],
    ["reasoning items", { input: [HI, ...repeat(() => ({ type: "reasoning", summary: [], encrypted_content: "x" }))] }],
    ["calls", { input: [HI, ...repeat((n) => ({ type: "function_call", call_id: `c${n}`, name: "f" }))] }],
    ["unknown items", { input: [HI, ...repeat(() => ({ type: "web_search_call" }))] }],
    ["tools", { input: "Hi", tools: repeat((n) => ({ type: "function", name: `f${n}` })) }],
    ["tools of a namespace", { input: "Hi", tools: [{ type: "namespace", name: "n", tools: repeat(custom) }] }],
    ["empty namespaces", { input: "Hi", tools: repeat((n) => ({ type: "namespace", name: `n${n}` })) }],
    ["additional tools", { input: [HI, ...repeat(() => ({ type: "additional_tools", tools: [custom(1)] }))] }],
  ];
  for (const [what, body] of long) {
    it(`is read in less than 3 s: ${what}`, () => {
      const start = performance.now();
      const { warnings } = decode(body);
      assert.ok(performance.now() - start < 3_000, `${performance.now() - start} ms`);
      assert.ok(warnings.length < 10);
    });
  }
});

describe("names that JavaScript treats in its own way", () => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    it(`are tools as any other: ${name}`, () => {
      const tools = [
        { type: "custom", name },
        { type: "namespace", name, tools: [{ type: "function", name }] },
      ];
      const conversation = decode({ input: "Hi", tools, metadata: { [name]: "x" } });
      const names = (conversation.request.toolConfig?.tools ?? []).map((tool) =>
        "toolSpec" in tool ? tool.toolSpec.name : "",
      );
      assert.equal(names.length, 2);
      const calls = names.map((called, n) => ({ toolUse: { toolUseId: `t${n}`, name: called, input: {} } }));
      assert.partialDeepStrictEqual(answer(conversation, calls).output, [
        { type: "custom_tool_call", name, input: "{}" },
        { type: "function_call", name, namespace: name, arguments: "{}" },
      ]);
    });
  }
});

function decode(body: object): Conversation {
  return openaiResponses.decode({ model: "m", ...body }, { id: "1", created: 1 });
}

function answer(conversation: Conversation, content: unknown[] = [{ text: "Hi" }]) {
  const usage = { inputTokens: 1, outputTokens: 1 };
  const response = converseResponse({ output: { message: { content } }, stopReason: "end_turn", usage });
  return JSON.parse(stringifyJson(conversation.reply([response])));
}

function repeat<T>(make: (n: number) => T): T[] {
  return Array.from({ length: MANY }, (_, n) => make(n));
}

function custom(n: number): object {
  return { type: "custom", name: `c${n}` };
}
