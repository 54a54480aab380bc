import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { anthropicMessages } from "../../src/dialects/anthropic-messages/index.ts";
import { dialects, embeddingsDialects } from "../../src/dialects/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../src/dialects/openai-responses/index.ts";
import { GatewayError } from "../../src/errors.ts";
import { dialectOf, findRoute, isNative } from "../../src/extproc/routes.ts";

const SPOKEN = { dialects, embeddings: embeddingsDialects };
const find = (method: string, target: string) => findRoute(method, target, SPOKEN);
const arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc";

describe("findRoute", () => {
  for (const path of [
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/v1/chat/completions",
    "/v1/chat/completions/",
    "/v1/chat/completions?api-version=1",
    "/v1/chat/completions#x",
  ]) {
    it(`takes POST ${path} as a chat`, () =>
      assert.deepEqual(find("POST", path), { kind: "call", dialect: openaiChat }));
  }

  for (const path of ["/v1/messages/count_tokens", "/messages/count_tokens?beta=true"]) {
    it(`takes POST ${path} as a count of tokens`, () => {
      const route = find("POST", path);
      assert.ok(route.kind === "count");
      assert.equal(route.dialect, anthropicMessages);
      assert.equal(dialectOf(path, SPOKEN), anthropicMessages);
      assert.throws(() => find("GET", path), { code: "method_not_allowed" });
    });
  }

  for (const path of ["/v1/models", "/models", "/v1/v1/models/", "/v1/models?limit=5"]) {
    it(`takes GET ${path} as the list of models`, () => assert.deepEqual(find("GET", path), { kind: "models" }));
  }

  for (const path of ["/v1/responses/resp_1", "/responses/resp_1/", "/v1/v1/responses/resp_1?include[]=x"]) {
    it(`takes GET, HEAD and DELETE of ${path} as a stored answer`, () => {
      for (const method of ["GET", "HEAD", "DELETE"]) {
        const route = find(method, path);
        assert.ok(route.kind === "stored");
        assert.deepEqual(
          [route.id, route.dialect, dialectOf(path, SPOKEN)],
          ["resp_1", openaiResponses, openaiResponses],
        );
      }
    });
  }

  for (const [path, id] of [
    ["/v1/models/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"],
    ["/v1/models/amazon.nova-lite-v1%3A0", "amazon.nova-lite-v1:0"],
    [`/models/${arn}`, arn],
    [`/v1/models/${encodeURIComponent(arn)}`, arn],
    ["/v1/models/models/x", "models/x"],
  ] as const) {
    it(`takes GET ${path} as one model`, () => assert.deepEqual(find("GET", path), { kind: "model", id }));
  }

  it("is done with 60,000 slashes at once: anybody may send them, without a key", () => {
    const path = `/v1${"/".repeat(60_000)}x`;
    const start = performance.now();
    assert.throws(() => find("POST", path), { code: "unknown_path" });
    assert.equal(dialectOf(path, SPOKEN), undefined);
    assert.ok(performance.now() - start < 200, `took ${performance.now() - start} ms`);
  });

  it("takes GET and HEAD of the root and of the health check", () => {
    for (const method of ["GET", "HEAD"]) {
      for (const path of ["/", "", "/v1", "/v1/", "/?x"]) assert.deepEqual(find(method, path), { kind: "root" });
      for (const path of ["/healthz", "/healthz/", "/v1/healthz"])
        assert.deepEqual(find(method, path), { kind: "health" });
    }
  });

  it("takes OPTIONS of any path as a preflight", () => {
    for (const path of ["/v1/chat/completions", "/nowhere", "*"])
      assert.deepEqual(find("OPTIONS", path), { kind: "preflight" });
  });

  for (const path of [
    "/v2/chat/completions",
    "/v1/v1/v1/chat/completions",
    "/v1chat/completions",
    "/v1/chat",
    "/v1/chat/completions/x",
    "/v1/responses/x/y",
    "/V1/chat/completions",
    "//v1/chat/completions",
    "/v1/models/%",
    "/v1/models/%ff",
    "/v1/../healthz",
    "/healthzz",
    "/constructor",
    "/__proto__",
  ]) {
    it(`does not know ${path}, and says what it knows`, () => {
      for (const method of ["GET", "POST"]) {
        assert.throws(
          () => find(method, path),
          (error) => {
            assert.ok(error instanceof GatewayError);
            assert.deepEqual([error.code, error.status], ["unknown_path", 404]);
            assert.match(error.message, /POST \/v1\/chat\/completions,.* GET \/v1\/models, GET \/healthz/);
            return true;
          },
        );
      }
    });
  }

  for (const [method, path, allow] of [
    ["GET", "/v1/chat/completions", "POST, OPTIONS"],
    ["PUT", "/v1/chat/completions", "POST, OPTIONS"],
    ["POST", "/v1/models", "GET, HEAD, OPTIONS"],
    ["DELETE", "/v1/models/x", "GET, HEAD, OPTIONS"],
    ["POST", "/v1/responses/resp_1", "GET, HEAD, DELETE, OPTIONS"],
    ["DELETE", "/v1/responses", "POST, OPTIONS"],
    ["POST", "/healthz", "GET, HEAD, OPTIONS"],
    ["post", "/v1/chat/completions", "POST, OPTIONS"],
  ] as const) {
    it(`refuses ${method} ${path} and says what it takes`, () => {
      assert.throws(
        () => find(method, path),
        (error) => {
          assert.ok(error instanceof GatewayError);
          assert.deepEqual([error.code, error.status, error.headers.allow], ["method_not_allowed", 405, allow]);
          return true;
        },
      );
    });
  }

  it("repeats nothing harmful of what the client wrote, and not much of it", () => {
    assert.throws(
      () => find("G\u0007T", `/a\r\nb\u0000é${"x".repeat(5_000)}`),
      (error) => {
        assert.ok(error instanceof GatewayError);
        assert.match(error.message, /^Unknown path: G\?T \/a\?\?b\?\?x+…\. Known/);
        assert.ok(error.message.length < 500);
        return true;
      },
    );
  });
});

describe("Bedrock's own paths", () => {
  const id = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
  const arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
  for (const [segment, model] of [
    ["amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"],
    [encodeURIComponent(id), id],
    [arn, arn],
    [encodeURIComponent(arn), arn],
    ["a%253Ab", "a%3Ab"],
    ["../x", "../x"],
  ] as const) {
    it(`name the model ${segment}, decoded once`, () => {
      for (const operation of ["converse", "converse-stream", "invoke", "invoke-with-response-stream"] as const) {
        const expected = { kind: "native", operation, model };
        assert.deepEqual(find("POST", `/bedrock/model/${segment}/${operation}`), expected);
        assert.deepEqual(find("POST", `/model/${segment}/${operation}?x=1`), expected);
      }
    });
  }

  for (const path of [
    "/bedrock",
    "/bedrock/",
    "/bedrock/model//converse",
    "/model//converse",
    "/model/converse",
    "/model/m/converse/",
    "/model/m/count-tokens",
    "/model/%zz/converse",
    "/bedrock/foundation-models/x",
    "/inference-profiles/",
    "/bedrock/healthz",
    "/bedrock/v1/chat/completions",
    "/bedrock/bedrock/model/m/converse",
    "/v1/model/m/converse",
  ]) {
    it(`are not ${path}`, () => {
      assert.throws(
        () => find("POST", path),
        (error) => error instanceof GatewayError && error.code === "unknown_path",
      );
      assert.equal(isNative(path), /^\/(bedrock|model)/.test(path));
    });
  }

  it("list what there is to call", () => {
    for (const list of ["inference-profiles", "foundation-models"] as const) {
      assert.deepEqual(find("GET", `/bedrock/${list}?type=SYSTEM_DEFINED`), { kind: "native_list", list });
    }
  });

  it("take POST alone", () => {
    assert.throws(
      () => find("GET", "/model/m/converse"),
      (error) => error instanceof GatewayError && error.headers.allow === "POST, OPTIONS",
    );
  });

  it("are no other API's", () => {
    for (const path of ["/models", "/v1/models/x", "/bedrocks", "/v1/chat/completions", "/"])
      assert.equal(isNative(path), false);
  });
});

describe("dialectOf", () => {
  it("is the dialect of a path whatever the method, and none elsewhere", () => {
    assert.equal(dialectOf("/v1/chat/completions?x", SPOKEN), openaiChat);
    for (const path of ["/v1/models", "/nowhere", "/", "/v1/models/%"])
      assert.equal(dialectOf(path, SPOKEN), undefined);
  });
});
