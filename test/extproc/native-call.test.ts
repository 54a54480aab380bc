import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { GatewayError } from "../../src/errors.ts";
import type { EnvoyEvent, Reply } from "../../src/extproc/wire.ts";
import { exceptionFrame } from "../../src/simulator/event-stream.ts";
import {
  ANSWER,
  bodyOf,
  jsonHeaders,
  KEY,
  LAST,
  METADATA,
  MODEL,
  openExchange,
  piece,
  requestBody,
  requestHeaders,
  responded,
  responseHeaders,
  STOP,
  streamHeaders,
  textFrame,
  typesOf,
} from "./test-exchange.ts";

const BODY = '{ "messages":[{"role":"user","content":[{"text":"Hello there"}]}],"inferenceConfig":{"maxTokens":9}}';
const STREAM = Buffer.concat([textFrame("Hi."), STOP, METADATA]);

describe("a native call", () => {
  it("goes out with the client's bytes, and with its headers that are part of the request", async () => {
    const exchange = openExchange();
    const tier = { "x-amzn-bedrock-service-tier": "flex", "x-amzn-bedrock-trace": "ENABLED", accept: "*/*" };
    const theirs = { "x-amz-date": "20260101T000000Z", "user-agent": "aws-sdk-js/3", "x-amzn-bedrock-accept": "né" };
    await exchange.run(native("converse", { ...tier, ...theirs }), requestBody(BODY));
    const forward = forwarded(exchange.sent);
    assert.equal(Buffer.from(forward.body).toString(), BODY);
    assert.deepEqual(forward.setHeaders, {
      ":path": "/model/amazon.nova-lite-v1%3A0/converse",
      ":authority": "bedrock-runtime.us-east-1.amazonaws.com",
      "content-type": "application/json",
      ...tier,
      authorization: "AWS4-HMAC-SHA256 …",
      "content-length": String(BODY.length),
    });
    assert.deepEqual(forward.removeHeaders.toSorted(), ["user-agent", "x-amz-date", "x-amzn-bedrock-accept"]);
    assert.deepEqual(forward.metadata, {
      route: "tls",
      key_id: "key_1",
      dialect: "bedrock",
      model: MODEL,
      stream: false,
    });
  });

  it("says whose key it is where InvokeModel has a header for it", async () => {
    const header = async (given: Record<string, string>) => {
      const exchange = openExchange();
      await exchange.run(native("invoke", given), requestBody("{}"));
      return forwarded(exchange.sent).setHeaders["x-amzn-bedrock-request-metadata"];
    };
    assert.equal(await header({}), '{"gateway_key_id":"key_1"}');
    const given = { "x-amzn-bedrock-request-metadata": '{"project":"x","gateway_key_id":"key_2"}' };
    assert.equal(await header(given), '{"project":"x","gateway_key_id":"key_1"}');
    assert.equal(await header({ "x-amzn-bedrock-request-metadata": "no JSON" }), "no JSON");
  });

  it("passes a stream on, its headers at once and its pieces as they come", async () => {
    const exchange = openExchange();
    await exchange.run(native("converse-stream"), requestBody(BODY));
    await exchange.run(
      responseHeaders(200, "application/vnd.amazon.eventstream", { "set-cookie": "a", "x-amzn-trace": "t" }),
    );
    assert.deepEqual(exchange.sent.at(-1), {
      type: "response_headers",
      status: 200,
      setHeaders: {
        "x-ratelimit-limit-requests": "5",
        "content-type": "application/vnd.amazon.eventstream",
        "x-amzn-requestid": "b-1",
        "x-amzn-trace": "t",
      },
      removeHeaders: ["set-cookie"],
    });
    for (const byte of STREAM) await exchange.run(piece(Buffer.from([byte])));
    const pieces = exchange.sent.filter(({ type }) => type === "response_body");
    assert.equal(pieces.length, STREAM.length);
    assert.equal(exchange.closed.length, 0);
    await exchange.run(LAST);
    assert.deepEqual(bytesOf(exchange.sent), STREAM);
    const [closing] = exchange.closed;
    assert.deepEqual(
      [closing?.status, closing?.estimated, closing?.usage.inputTokens, closing?.bedrockRequestId],
      ["ok", false, 3, "b-1"],
    );
    const last = exchange.sent.at(-1);
    assert.ok(last?.type === "response_body" && last.endOfStream);
    assert.deepEqual(
      [last.metadata?.input_tokens, last.metadata?.region, last.metadata?.error],
      [3, "us-east-1", undefined],
    );
  });

  it("reserves and settles tokens, and gives its place back", async () => {
    const exchange = openExchange();
    await exchange.run(native("converse"), requestBody(BODY), jsonHeaders(), piece(ANSWER, true));
    // 15 characters of text, "user" among them.
    assert.deepEqual(exchange.admission.calls, [["reserve", 4, 9], ["settle", 5], ["release"]]);
    assert.equal(bodyOf(exchange.sent), ANSWER);
  });

  it("is as long as its bytes where it can't be read", async () => {
    const exchange = openExchange();
    await exchange.run(native("invoke"), requestBody("no JSON!"));
    assert.deepEqual(exchange.admission.calls, [["reserve", 2, 4_096]]);
    assert.equal(typesOf(exchange.sent).at(-1), "forward");
  });

  it("is interrupted when its client leaves, with an estimate of what came", async () => {
    const exchange = openExchange();
    await exchange.run(native("converse-stream"), requestBody(BODY), streamHeaders(), piece(textFrame("x".repeat(40))));
    exchange.close();
    await setImmediate();
    const [closing] = exchange.closed;
    assert.deepEqual(
      [closing?.status, closing?.httpStatus, closing?.estimated, closing?.usage.outputTokens],
      ["interrupted", 200, true, 10],
    );
    assert.deepEqual(exchange.admission.calls.slice(1), [["release"], ["settle", 14]]);
  });

  it("is not forwarded when its client leaves before", async () => {
    const exchange = openExchange(
      {},
      {
        open: async () => {
          exchange.close();
          return { opened: true, budgets: [] };
        },
      },
    );
    await exchange.run(native("converse"), requestBody(BODY));
    assert.equal(typesOf(exchange.sent).includes("forward"), false);
    assert.deepEqual(
      exchange.closed.map(({ status, cost }) => [status, cost]),
      [["interrupted", 0n]],
    );
  });
});

describe("an error of Bedrock's on a native path", () => {
  it("passes with its status, its type and its bytes, and costs nothing", async () => {
    const exchange = openExchange();
    const body = '{ "message" : "The text is blank." }';
    const type = { "x-amzn-errortype": "ValidationException:http://internal.amazon.com/coral/", "retry-after": "3" };
    await exchange.run(
      native("converse-stream"),
      requestBody(BODY),
      responseHeaders(400, "application/json", type),
      piece(body.slice(0, 9)),
    );
    assert.equal(typesOf(exchange.sent).at(-1), "forward");
    await exchange.run(piece(body.slice(9), true));
    const [headers] = exchange.sent.slice(2);
    assert.ok(headers?.type === "response_headers");
    assert.equal(headers.status, 400);
    assert.equal(headers.setHeaders["x-amzn-errortype"], type["x-amzn-errortype"]);
    assert.equal(headers.setHeaders["retry-after"], "3");
    assert.equal(bodyOf(exchange.sent), body);
    assert.deepEqual(
      exchange.closed.map(({ status, errorCode, httpStatus, cost }) => [status, errorCode, httpStatus, cost]),
      [["error", "invalid_request", 400, 0n]],
    );
    assert.equal(metadataOf(exchange.sent)?.error, "invalid_request");
    assert.deepEqual(exchange.admission.calls.at(-2), ["settle", 0]);
  });

  it("passes without a body too", async () => {
    const exchange = openExchange();
    const head = responseHeaders(503, "application/json", { "x-amzn-errortype": "ServiceUnavailableException" }, true);
    await exchange.run(native("converse"), requestBody(BODY), head);
    const { status, headers, body } = responded(exchange.sent);
    assert.deepEqual([status, headers["x-amzn-errortype"], body], [503, "ServiceUnavailableException", undefined]);
  });

  it("is the gateway's own where it speaks of the gateway's identity, and is reported", async () => {
    for (const [type, expected] of [
      ["ExpiredTokenException", "InternalServerException"],
      ["AccessDeniedException", "AccessDeniedException"],
    ]) {
      const exchange = openExchange();
      const head = responseHeaders(403, "application/json", { "x-amzn-errortype": type ?? "" });
      const text = "User: arn:aws:sts::123456789012:assumed-role/x is not authorized to perform: bedrock:InvokeModel";
      await exchange.run(native("converse"), requestBody(BODY), head, piece(JSON.stringify({ message: text }), true));
      const answer = exchange.sent.at(-1);
      assert.ok(answer?.type === "response_body" || answer?.type === "respond");
      assert.doesNotMatch(bodyOf(exchange.sent), /123456789012/);
      const headers = exchange.sent.find((reply) => reply.type === "response_headers" || reply.type === "respond");
      assert.equal(
        headers && ("setHeaders" in headers ? headers.setHeaders : headers.headers)["x-amzn-errortype"],
        expected,
      );
      assert.equal(exchange.faults.length, 1);
    }
  });

  it("inside a stream passes as it is, and is the row's", async () => {
    const exchange = openExchange();
    const exception = exceptionFrame("modelStreamErrorException", { message: "Broken" });
    await exchange.run(
      native("converse-stream"),
      requestBody(BODY),
      streamHeaders(),
      piece(textFrame("Hi")),
      piece(exception, true),
    );
    assert.deepEqual(bytesOf(exchange.sent), Buffer.concat([textFrame("Hi"), exception]));
    const [closing] = exchange.closed;
    assert.deepEqual(
      [closing?.status, closing?.errorCode, closing?.httpStatus, closing?.estimated],
      ["error", "model_error", 200, true],
    );
  });

  it("is no frame that is corrupt: the bytes pass, and the usage is an estimate", async () => {
    const exchange = openExchange();
    const noise = Buffer.alloc(500, 7);
    await exchange.run(
      native("invoke-with-response-stream"),
      requestBody("{}"),
      streamHeaders(),
      piece(noise),
      piece(noise, true),
    );
    assert.deepEqual(bytesOf(exchange.sent), Buffer.concat([noise, noise]));
    assert.deepEqual(
      exchange.closed.map(({ status, estimated }) => [status, estimated]),
      [["ok", true]],
    );
  });
});

describe("a refusal of the gateway's on a native path", () => {
  const refused = async (services: Parameters<typeof openExchange>[0], ...events: EnvoyEvent[]) => {
    const exchange = openExchange(services);
    await exchange.run(...events);
    const { status, headers, body } = responded(exchange.sent);
    assert.deepEqual(Object.keys(body), ["message"]);
    assert.equal(exchange.refused[0]?.dialect, "bedrock");
    assert.equal(exchange.refused[0]?.status, status);
    return { status, type: headers["x-amzn-errortype"], headers, message: body.message };
  };
  const throws = (error: GatewayError) => ({ authenticator: { authenticate: () => Promise.reject(error) } });

  it("has the name and the status by which AWS's SDKs know what to do", async () => {
    const errors: [GatewayError, number, string][] = [
      [new GatewayError("invalid_api_key", "x"), 401, "UnrecognizedClientException"],
      [new GatewayError("rate_limit_exceeded", "x", { retryAfter: 7 }), 429, "ThrottlingException"],
      [new GatewayError("rate_limit_exceeded", "the prompt alone"), 400, "ServiceQuotaExceededException"],
      [new GatewayError("insufficient_quota", "x"), 400, "ServiceQuotaExceededException"],
      [new GatewayError("unavailable", "x"), 503, "ServiceUnavailableException"],
      [new GatewayError("internal_error", "x"), 500, "InternalServerException"],
    ];
    for (const [error, status, type] of errors) {
      const answer = await refused(throws(error), native("converse"));
      assert.deepEqual([answer.status, answer.type], [status, type], error.code);
      assert.equal(answer.headers["retry-after"], error.retryAfter?.toString());
      // Anthropic's SDK would ask ten times with a wrong key.
      const hopeless = status < 500 && status !== 429;
      assert.equal(answer.headers["x-should-retry"], hopeless || status === 500 ? "false" : undefined, error.code);
    }
  });

  it("says to a signature what to send instead", async () => {
    const signed = { authorization: "AWS4-HMAC-SHA256 Credential=AKID/…, SignedHeaders=host, Signature=0" };
    const { status, type, message } = await refused({}, native("converse", signed));
    assert.deepEqual([status, type], [401, "UnrecognizedClientException"]);
    assert.match(message, /AWS_BEARER_TOKEN_BEDROCK/);
  });

  it("comes for a model outside the key's list, and for what no model can be called", async () => {
    const denied = await refused({}, native("converse", {}, "anthropic.claude-x"), requestBody(BODY));
    assert.deepEqual([denied.status, denied.type], [403, "AccessDeniedException"]);
    const odd = await refused({}, native("converse", {}, "a%20b"), requestBody(BODY));
    assert.deepEqual([odd.status, odd.type], [404, "ResourceNotFoundException"]);
  });

  it("comes for a bucket that the operator has not allowed", async () => {
    const body = (bucket: string) => requestBody(`{"source":{"s3Location":{"uri":"s3://${bucket}/1"}}}`);
    const { status, type, message } = await refused({}, native("invoke"), body("secret"));
    assert.deepEqual([status, type], [400, "ValidationException"]);
    assert.match(message, /"secret"/);
    const exchange = openExchange();
    await exchange.run(native("invoke"), body("shared-1"));
    assert.equal(typesOf(exchange.sent).at(-1), "forward");
  });

  it("comes in the same shape when Envoy could not reach Bedrock", async () => {
    const exchange = openExchange();
    const local = responseHeaders(503, "application/json", { "x-gateway-local-reply": "UF" });
    await exchange.run(native("converse"), requestBody(BODY), local);
    const { status, headers, body } = responded(exchange.sent);
    assert.deepEqual([status, headers["x-amzn-errortype"]], [503, "ServiceUnavailableException"]);
    assert.deepEqual(Object.keys(body), ["message"]);
    assert.deepEqual(
      exchange.closed.map(({ status: row, cost }) => [row, cost]),
      [["error", 0n]],
    );
  });

  it("comes with an estimate in the row where Bedrock may have worked on it", async () => {
    const exchange = openExchange();
    const lost = responseHeaders(503, "application/json", { "x-gateway-local-reply": "UC" });
    await exchange.run(native("converse"), requestBody(BODY), lost);
    assert.equal(responded(exchange.sent).headers["x-amzn-errortype"], "ServiceUnavailableException");
    assert.deepEqual(
      exchange.closed.map(({ status, estimated, usage }) => [status, estimated, usage.inputTokens]),
      [["error", true, 4]],
    );
  });

  it("can't come any more once the answer has begun: the exchange breaks, and never ends cleanly", async () => {
    const exchange = openExchange();
    await exchange.run(native("converse-stream"), requestBody(BODY), streamHeaders());
    const before = exchange.sent.length;
    exchange.sent.push = () => {
      throw new Error("a bug");
    };
    await assert.rejects(async () => exchange.receive(piece(textFrame("Hi"))), GatewayError);
    assert.equal(exchange.sent.length, before);
    assert.deepEqual(
      exchange.closed.map(({ status, errorCode, httpStatus, estimated }) => [status, errorCode, httpStatus, estimated]),
      [["error", "internal_error", 200, true]],
    );
  });
});

describe("an alias on a native path", () => {
  it("stands for its model and its region, and an ARN behind it stays unseen", async () => {
    const arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc";
    const target = { name: "house", modelId: arn, region: "eu-west-1", foundationModel: undefined };
    const exchange = openExchange({
      authenticator: { authenticate: async () => ({ key: { ...KEY, models: ["house"] }, team: null }) },
      targets: { resolve: async () => [target], profileOf: async () => undefined, aliases: new Map([["house", arn]]) },
    });
    await exchange.run(native("converse", {}, "house"), requestBody(BODY), jsonHeaders(), piece(ANSWER, true));
    assert.equal(forwarded(exchange.sent).setHeaders[":path"], `/model/${encodeURIComponent(arn)}/converse`);
    const headers = exchange.sent.find((reply) => reply.type === "response_headers");
    assert.ok(headers?.type === "response_headers");
    assert.equal(headers.setHeaders["x-gateway-model"], "an inference profile");
  });
});

function native(
  operation: string,
  change: Readonly<Record<string, string | undefined>> = {},
  model = encodeURIComponent(MODEL),
): EnvoyEvent {
  return requestHeaders({ ":path": `/bedrock/model/${model}/${operation}`, ...change });
}

function forwarded(sent: readonly Reply[]) {
  const reply = sent.find(({ type }) => type === "forward");
  if (reply?.type !== "forward") throw new Error(`nothing was forwarded: ${typesOf(sent)}`);
  return reply;
}

function metadataOf(sent: readonly Reply[]) {
  const last = sent.at(-1);
  return last !== undefined && "metadata" in last ? last.metadata : undefined;
}

function bytesOf(sent: readonly Reply[]): Buffer {
  return Buffer.concat(sent.flatMap((reply) => (reply.type === "response_body" ? [reply.body] : [])));
}
