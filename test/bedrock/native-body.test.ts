import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readNativeBody } from "../../src/bedrock/native-body.ts";
import { GatewayError } from "../../src/errors.ts";

const read = (body: unknown) => readNativeBody(Buffer.from(typeof body === "string" ? body : JSON.stringify(body)));

describe("the longest answer", () => {
  it("is read by the name that each model family has for it", () => {
    const bodies = [
      { inferenceConfig: { maxTokens: 7 } },
      { inferenceConfig: { max_new_tokens: 7 } },
      { max_tokens: 7 },
      { max_completion_tokens: 7 },
      { max_gen_len: 7 },
      { max_tokens_to_sample: 7 },
      { textGenerationConfig: { maxTokenCount: 7 } },
    ];
    assert.deepEqual(
      bodies.map((body) => read(body).maxTokens),
      bodies.map(() => 7),
    );
  });

  it("is unknown where it is no count, or the body is no JSON object", () => {
    for (const body of [
      {},
      { max_tokens: -1 },
      { max_tokens: "7" },
      { max_tokens: 1.5 },
      [7],
      "no JSON",
      "",
      "[".repeat(200_000),
    ]) {
      assert.equal(read(body).maxTokens, undefined);
    }
  });
});

describe("what a price depends on", () => {
  it("is read from Converse's fields", () => {
    const body = read({ serviceTier: { type: "flex" }, performanceConfig: { latency: "optimized" } });
    assert.deepEqual([body.serviceTier, body.latency], ["flex", "optimized"]);
  });
});

describe("an object in S3", () => {
  const named = (text: string) => read(text).storedObjects;

  it("is found wherever Converse and InvokeModel name one", () => {
    const image = {
      image: { format: "png", source: { s3Location: { uri: "s3://a/1", bucketOwner: "123456789012" } } },
    };
    const video = { video: { source: { s3Location: { bucketOwner: "123456789012", uri: "s3://b/2" } } } };
    assert.deepEqual(read({ messages: [{ content: [image, video] }] }).storedObjects, ["s3://a/1", "s3://b/2"]);
    assert.deepEqual(named('{"s3Location":"s3://c/3"}'), ["s3://c/3"]);
  });

  it("hides behind no key that comes twice, and behind no escape", () => {
    assert.deepEqual(named('{"s3Location":{"uri":"s3://bad/1","uri":"s3://good/1"}}'), ["s3://bad/1", "s3://good/1"]);
    assert.deepEqual(named('{"s3Location":{"uri":"s3://bad/1"},"s3Location":{}}'), ["s3://bad/1"]);
    assert.deepEqual(named(String.raw`{"s3\u004cocation":{"uri":"s3://bad/1"}}`), ["s3://bad/1"]);
    assert.deepEqual(named(String.raw`{"s3Location":{"uri":"s3:\/\/bad\/1"}}`), ["s3://bad/1"]);
    assert.deepEqual(named(String.raw`{"\\\"":"\\","s3Location" : {"x":[{"uri":"s3://bad/1"}]}}`), ["s3://bad/1"]);
  });

  it("is not what only talks of one", () => {
    const texts = [
      { text: "Copy s3://a/1 to s3://b/2" },
      { text: '"s3Location": {"uri": "s3://a/1"}' },
      { toolUse: { input: { uri: "s3://a/1" } } },
      { s3Location: {} },
      { s3Location: null },
      { x: { uri: "s3://a/1" } },
    ];
    assert.deepEqual(read({ texts, after: "s3://a/1" }).storedObjects, []);
  });

  it("can't hide in an encoding that a JSON reader may know besides UTF-8", () => {
    const text = '{"s3Location":{"uri":"s3://bad/1"}}';
    const wide = Buffer.from(text, "utf16le");
    const encodings = [wide, Buffer.from(wide).swap16(), Buffer.concat([Buffer.from([0xff, 0xfe]), wide])];
    for (const bytes of encodings) {
      assert.throws(
        () => readNativeBody(bytes),
        (error) => error instanceof GatewayError && error.code === "invalid_request",
      );
    }
  });

  it("is looked for in no more values than a body may have, whatever they are", () => {
    const started = performance.now();
    assert.throws(() => read(`{"s3Location":[${"[],".repeat(5_000_000)}[]]}`), GatewayError);
    assert.ok(performance.now() - started < 5_000);
    assert.deepEqual(named(`{"s3Location":{"x":"${"\\\\".repeat(5_000_000)}","uri":"s3://bad/1"}}`), ["s3://bad/1"]);
  });
});
