import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { processorService, type Reply, toEvent, toMessage } from "../../src/extproc/wire.ts";

const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = processorService.Process;

/** What Envoy's bytes become: through protobuf, as they arrive. */
function received(message: Parameters<typeof requestSerialize>[0]) {
  return toEvent(requestDeserialize(requestSerialize(message)));
}

/** What Envoy gets to read. */
function sent(reply: Reply) {
  return responseDeserialize(responseSerialize(toMessage(reply)));
}

const header = (key: string, text: string) => ({ key, raw_value: Buffer.from(text, "latin1") });

describe("toEvent", () => {
  for (const type of ["request_headers", "response_headers"] as const) {
    it(`reads ${type}`, () => {
      const headers = {
        headers: [header(":path", "/v1"), header("x-a", "1"), header("x-a", "2"), header("x-empty", "")],
      };
      assert.deepEqual(received({ [type]: { headers, end_of_stream: true } }), {
        type,
        headers: new Map([
          [":path", "/v1"],
          ["x-a", "1, 2"],
          ["x-empty", ""],
        ]),
        endOfStream: true,
      });
      assert.deepEqual(received({ [type]: {} }), { type, headers: new Map(), endOfStream: false });
    });
  }

  it("reads a header's text where Envoy sends no bytes, and any byte where it does", () => {
    const headers = { headers: [{ key: "a", value: "text" }, header("b", "\u00e9\u00ff")] };
    const event = received({ request_headers: { headers } });
    assert.ok(event?.type === "request_headers");
    assert.deepEqual(
      [...event.headers],
      [
        ["a", "text"],
        ["b", "\u00e9\u00ff"],
      ],
    );
  });

  for (const type of ["request_body", "response_body"] as const) {
    it(`reads ${type}, and an absent body as no bytes`, () => {
      assert.deepEqual(received({ [type]: { body: Buffer.from([0, 255]), end_of_stream: true } }), {
        type,
        body: Buffer.from([0, 255]),
        endOfStream: true,
      });
      assert.deepEqual(received({ [type]: { end_of_stream: true } }), {
        type,
        body: Buffer.alloc(0),
        endOfStream: true,
      });
      assert.deepEqual(received({ [type]: { body: Buffer.from("x") } }), {
        type,
        body: Buffer.from("x"),
        endOfStream: false,
      });
    });
  }

  for (const type of ["request_trailers", "response_trailers"] as const) {
    it(`reads ${type}`, () => assert.deepEqual(received({ [type]: {} }), { type }));
  }

  it("is undefined for a message of another kind", () => {
    assert.equal(received({}), undefined);
  });

  it("takes bodies above gRPC's own limit of 4 MB", () => {
    const event = received({ request_body: { body: Buffer.alloc(20 * 1024 * 1024) } });
    assert.ok(event?.type === "request_body");
    assert.equal(event.body.length, 20 * 1024 * 1024);
  });
});

describe("toMessage", () => {
  it("passes an event on unchanged", () => {
    for (const event of [
      "request_headers",
      "response_headers",
      "request_body",
      "response_body",
      "request_trailers",
      "response_trailers",
    ] as const) {
      const message = sent({ type: "pass", event });
      assert.equal(message.response, event);
      assert.deepEqual(message[event], {});
    }
  });

  it("takes headers off an event that it passes on", () => {
    const message = sent({ type: "pass", event: "request_headers", removeHeaders: ["cookie"] });
    assert.deepEqual(message.request_headers?.response?.header_mutation?.remove_headers, ["cookie"]);
  });

  it("forwards: headers set and removed, the new body, the route chosen again by the metadata", () => {
    const message = sent({
      type: "forward",
      setHeaders: { ":path": "/model/x", "x-b": "\u00e9" },
      removeHeaders: ["authorization"],
      body: Buffer.from("{}"),
      metadata: { route: "tls", stream: true, tokens: 7, absent: undefined },
    });
    const response = message.request_body?.response;
    assert.deepEqual(response?.header_mutation?.set_headers, [
      { header: { key: ":path", raw_value: Buffer.from("/model/x") }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
      { header: { key: "x-b", raw_value: Buffer.from([0xe9]) }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
    ]);
    assert.deepEqual(response?.header_mutation?.remove_headers, ["authorization"]);
    assert.deepEqual(response?.body_mutation?.body, Buffer.from("{}"));
    assert.equal(response?.clear_route_cache, true);
    assert.deepEqual(metadata(message), { route: "tls", stream: true, tokens: 7 });
  });

  it("responds: status, headers, body, metadata", () => {
    const message = sent({
      type: "respond",
      status: 429,
      headers: { "retry-after": "1" },
      body: Buffer.from("no"),
      metadata: { answered: true },
    });
    assert.equal(message.immediate_response?.status?.code, 429);
    assert.equal(message.immediate_response?.headers?.set_headers?.[0]?.header?.key, "retry-after");
    assert.deepEqual(message.immediate_response?.body, Buffer.from("no"));
    assert.deepEqual(metadata(message), { answered: true });
  });

  it("sends response headers with their status", () => {
    const message = sent({ type: "response_headers", status: 200, setHeaders: { a: "b" }, removeHeaders: ["c"] });
    const mutation = message.response_headers?.response?.header_mutation;
    assert.deepEqual(
      mutation?.set_headers?.map((option) => [option.header?.key, option.header?.raw_value?.toString()]),
      [
        [":status", "200"],
        ["a", "b"],
      ],
    );
    assert.deepEqual(mutation?.remove_headers, ["c"]);
  });

  it("sends pieces of the response body, the last one with metadata", () => {
    const piece = sent({ type: "response_body", body: Buffer.from("data"), endOfStream: false });
    const streamed = piece.response_body?.response?.body_mutation?.streamed_response;
    assert.deepEqual(streamed?.body, Buffer.from("data"));
    assert.ok(!streamed?.end_of_stream);
    assert.equal(piece.dynamic_metadata ?? undefined, undefined);
    const last = sent({
      type: "response_body",
      body: Buffer.alloc(0),
      endOfStream: true,
      metadata: { output_tokens: 3 },
    });
    assert.equal(last.response_body?.response?.body_mutation?.streamed_response?.end_of_stream, true);
    assert.deepEqual(metadata(last), { output_tokens: 3 });
  });
});

type Message = ReturnType<typeof sent>;

function metadata(message: Message): Record<string, unknown> {
  const fields = message.dynamic_metadata?.fields?.bedrock_gateway?.structValue?.fields ?? {};
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, value.stringValue ?? value.numberValue ?? value.boolValue]),
  );
}
