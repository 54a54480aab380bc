/** AWS's own SDK against the whole gateway: what a client that speaks Bedrock itself sees. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import {
  BedrockRuntimeClient,
  type BedrockRuntimeClientConfig,
  BedrockRuntimeServiceException,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";
import { type Answer, fails, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, uniqueModel, until } from "./harness.ts";

const ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
const gateway = await startTestGateway({
  operator: `
models:
  aliases:
    house-model: amazon.nova-lite-v1:0
`,
});
after(() => gateway.stop());

const HELLO = [{ role: "user" as const, content: [{ text: "How warm is it in Oslo?" }] }];
const USAGE = { inputTokens: 11, outputTokens: 5, totalTokens: 16, cacheReadInputTokens: 90 };
const CLAUDE = {
  anthropic_version: "bedrock-2023-05-31",
  max_tokens: 100,
  messages: [{ role: "user", content: "How warm is it in Oslo?" }],
};

describe("AWS's SDK", { concurrency: true }, () => {
  it("reads a Converse answer, whose row has Bedrock's numbers", async () => {
    const model = script(says("Four degrees.", { usage: USAGE }));
    const answer = await client().send(new ConverseCommand({ modelId: model, messages: HELLO }));
    assert.equal(answer.output?.message?.content?.[0]?.text, "Four degrees.");
    assert.deepEqual(answer.usage, USAGE);
    const row = await rowOf(model);
    assert.deepEqual(
      [row.dialect, row.modelRequested, row.modelInvoked, row.stream, row.closing?.status, row.closing?.estimated],
      ["bedrock", model, model, false, "ok", false],
    );
    assert.equal(row.closing?.usage.inputTokens, 11);
    assert.equal(row.closing?.usage.outputTokens, 5);
    assert.equal(row.closing?.usage.cacheReadTokens, 90);
    // The id that AWS's support asks for is the one of the row.
    assert.equal(row.closing?.bedrockRequestId, answer.$metadata.requestId);
  });

  it("streams ConverseStream, over HTTP/2 as it does by itself", async () => {
    const model = script(says("Four degrees and some rain.", { usage: USAGE, pace: 5 }));
    const answer = await client().send(new ConverseStreamCommand({ modelId: model, messages: HELLO }));
    const events = await Array.fromAsync(answer.stream ?? []);
    assert.equal(
      events.map((event) => event.contentBlockDelta?.delta?.text ?? "").join(""),
      "Four degrees and some rain.",
    );
    assert.deepEqual(events.at(-1)?.metadata?.usage, USAGE);
    const row = await rowOf(model);
    assert.deepEqual(
      [row.stream, row.closing?.status, row.closing?.usage.inputTokens, row.closing?.estimated],
      [true, "ok", 11, false],
    );
  });

  it("invokes Claude, with the cache of its usage", async () => {
    const usage = { ...USAGE, cacheWriteInputTokens: 30, cacheDetails: [{ ttl: "1h", inputTokens: 30 }] };
    const model = script(says("Four degrees.", { usage }));
    const answer = await client().send(
      new InvokeModelCommand({
        modelId: model,
        body: JSON.stringify(CLAUDE),
        guardrailIdentifier: "guard1",
        guardrailVersion: "1",
        requestMetadata: JSON.stringify({ project: "weather" }),
      }),
    );
    assert.equal(answer.contentType, "application/json");
    assert.equal(JSON.parse(answer.body.transformToString()).content[0].text, "Four degrees.");
    const row = await rowOf(model);
    assert.deepEqual(row.closing?.usage, {
      inputTokens: 11,
      outputTokens: 5,
      cacheReadTokens: 90,
      cacheWriteTokens: 30,
      cacheWrite1hTokens: 30,
    });
    const { headers, body } = sentTo(model);
    assert.equal(body, JSON.stringify(CLAUDE));
    assert.equal(headers["x-amzn-bedrock-guardrailidentifier"], "guard1");
    assert.deepEqual(JSON.parse(String(headers["x-amzn-bedrock-request-metadata"])), {
      project: "weather",
      gateway_key_id: gateway.keyId,
    });
  });

  it("streams from InvokeModelWithResponseStream", async () => {
    const usage = { ...USAGE, cacheWriteInputTokens: 30, cacheDetails: [{ ttl: "1h", inputTokens: 30 }] };
    const model = script(says("Four degrees and some rain.", { usage, pace: 5 }));
    const answer = await client().send(
      new InvokeModelWithResponseStreamCommand({ modelId: model, body: JSON.stringify(CLAUDE) }),
    );
    const events = await Array.fromAsync(answer.body ?? [], ({ chunk }) =>
      JSON.parse(Buffer.from(chunk?.bytes ?? []).toString()),
    );
    assert.equal(events.map((event) => event.delta?.text ?? "").join(""), "Four degrees and some rain.");
    assert.equal(events.at(-1)["amazon-bedrock-invocationMetrics"].outputTokenCount, 5);
    const row = await rowOf(model);
    assert.deepEqual(row.closing?.usage, {
      inputTokens: 11,
      outputTokens: 5,
      cacheReadTokens: 90,
      cacheWriteTokens: 30,
      cacheWrite1hTokens: 30,
    });
  });

  it("may name an ARN or an alias", async () => {
    gateway.simulator.scriptModel(ARN, says("From the profile."));
    const answer = await client().send(new ConverseCommand({ modelId: ARN, messages: HELLO }));
    assert.equal(answer.output?.message?.content?.[0]?.text, "From the profile.");
    const { path } = sentTo(ARN);
    assert.equal(path, `/model/${encodeURIComponent(ARN)}/converse`);

    const raw = await native("/bedrock/model/house-model/converse", JSON.stringify({ messages: HELLO }));
    assert.equal(raw.status, 200);
    assert.equal(raw.headers.get("x-gateway-model"), "amazon.nova-lite-v1:0");
    await raw.text();
    assert.equal((await gateway.closedCall(raw.headers.get("x-request-id"))).modelRequested, "house-model");
  });

  it("leaves in the middle of a stream, and the row is an estimate", async () => {
    const model = script(says("word ".repeat(200), { pace: 20 }));
    const abort = new AbortController();
    const answer = await client().send(new ConverseStreamCommand({ modelId: model, messages: HELLO }), {
      abortSignal: abort.signal,
    });
    // Over HTTP/2 the SDK ends the iteration, over HTTP/1.1 it throws.
    await Array.fromAsync(answer.stream ?? [], (event) => {
      if (event.contentBlockDelta !== undefined) abort.abort();
    }).catch(() => {});
    const row = await rowOf(model);
    assert.equal(row.closing?.status, "interrupted");
    assert.equal(row.closing?.estimated, true);
    assert.ok((row.closing?.usage.outputTokens ?? 0) > 0);
  });
});

describe("AWS's SDK hears", { concurrency: true }, () => {
  it("Bedrock's errors as they are", async () => {
    const model = script(fails("ValidationException", { message: "The text is blank." }));
    const error = await failure(client(), model);
    assert.deepEqual(
      [error.name, error.message, error.$metadata.httpStatusCode],
      ["ValidationException", "The text is blank.", 400],
    );
    const row = await rowOf(model);
    assert.deepEqual(
      [row.closing?.status, row.closing?.errorCode, row.closing?.httpStatus, row.closing?.cost],
      ["error", "invalid_request", 400, 0n],
    );
  });

  it("an exception in the stream", async () => {
    const steps = [
      { event: "messageStart", payload: { role: "assistant" } },
      { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Four" } } },
      { exception: "throttlingException", payload: { message: "Too many tokens" } },
    ];
    const model = script({ kind: "events", steps });
    const answer = await client().send(new ConverseStreamCommand({ modelId: model, messages: HELLO }));
    await assert.rejects(
      () => Array.fromAsync(answer.stream ?? []),
      (error: Error) => error.name === "ThrottlingException" && error.message === "Too many tokens",
    );
    const row = await rowOf(model);
    assert.deepEqual(
      [row.closing?.status, row.closing?.errorCode, row.closing?.estimated],
      ["error", "rate_limit_exceeded", true],
    );
  });

  it("of a wrong key, and of a signature", async () => {
    const wrong = await failure(client({ token: { token: "sk-wrong" } }), uniqueModel());
    assert.deepEqual([wrong.name, wrong.$metadata.httpStatusCode], ["UnrecognizedClientException", 401]);
    const { token: _, ...config } = CONFIG;
    const signing = new BedrockRuntimeClient({
      ...config,
      authSchemePreference: ["aws.auth#sigv4"],
      credentials: { accessKeyId: "AKID", secretAccessKey: "x" },
    });
    const signed = await failure(signing, uniqueModel());
    assert.equal(signed.name, "UnrecognizedClientException");
    assert.match(signed.message, /AWS_BEARER_TOKEN_BEDROCK/);
  });

  it("of a model that the key may not use", async () => {
    const { secret } = await gateway.keys.create({ name: "narrow", models: ["amazon.*"] });
    const error = await failure(client({ token: { token: secret } }), "anthropic.claude-x");
    assert.deepEqual([error.name, error.$metadata.httpStatusCode], ["AccessDeniedException", 403]);
    assert.match(error.message, /amazon\.\*/);
  });

  it("of a limit as throttling, which it waits for by itself", async () => {
    const { secret } = await gateway.keys.create({ name: "slow", rpm: 1 });
    const model = uniqueModel();
    const slow = client({ token: { token: secret } });
    await slow.send(new ConverseCommand({ modelId: model, messages: HELLO }));
    const error = await failure(slow, model);
    assert.deepEqual([error.name, error.$metadata.httpStatusCode], ["ThrottlingException", 429]);
    assert.match(error.$response?.headers["retry-after"] ?? "", /^\d+$/);
  });

  it("of a budget that is spent once, and does not come back for it", async () => {
    const { secret, key } = await gateway.keys.create({ name: "poor", budget: 1_000_000n });
    const poor = client({ token: { token: secret }, maxAttempts: 3 });
    const messages = HELLO;
    await poor.send(new ConverseCommand({ modelId: "amazon.nova-lite-v1:0", messages }));
    const error = await failure(poor, "amazon.nova-lite-v1:0");
    assert.deepEqual(
      [error.name, error.$metadata.httpStatusCode, error.$metadata.attempts],
      ["ServiceQuotaExceededException", 400, 1],
    );
    assert.equal(
      gateway.serviceLog().filter((line) => line.key_id === key.id && line.error === "insufficient_quota").length,
      1,
    );
  });

  it("nothing of the gateway's own identity", async () => {
    const secret =
      "User: arn:aws:sts::123456789012:assumed-role/gateway is not authorized to perform: bedrock:InvokeModel";
    const error = await failure(client(), script(fails("AccessDeniedException", { message: secret })));
    assert.equal(error.name, "AccessDeniedException");
    assert.doesNotMatch(error.message, /assumed-role|123456789012/);
    const expired = await failure(
      client({ maxAttempts: 1 }),
      script(fails("ExpiredTokenException", { message: "expired" })),
    );
    assert.deepEqual([expired.name, expired.$metadata.httpStatusCode], ["InternalServerException", 500]);
  });
});

describe("bytes of Bedrock's own API", { concurrency: true }, () => {
  it("are those that the client and Bedrock sent, JSON and stream", async () => {
    const odd =
      '{ "messages":[{"role":"user","content":[{"text":"caf\\u00e9 12345678901234567890"}]}] ,  "inferenceConfig":{"maxTokens":10}}';
    const json = Buffer.from(
      '{"output": {"message":{"role":"assistant","content":[]}},\n "usage":{"inputTokens":7,"outputTokens":2}, "n":12345678901234567890}',
    );
    const model = script({ kind: "json", body: json, headers: { "x-amzn-made-up": "yes", "set-cookie": "a=b" } });
    const answer = await native(`/bedrock/model/${model}/converse`, odd);
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), json);
    assert.equal(answer.headers.get("x-amzn-made-up"), "yes");
    assert.equal(answer.headers.get("set-cookie"), null);
    assert.equal(sentTo(model).body, odd);
    assert.deepEqual(sentTo(model).leaks, []);
    assert.equal((await rowOf(model)).closing?.usage.inputTokens, 7);

    const noise = Buffer.concat([Buffer.from("no frame at all, "), Buffer.alloc(100_000, 7)]);
    const streamed = script({ kind: "events", steps: [{ bytes: noise }], chunking: 1_000 });
    const stream = await native(`/model/${streamed}/converse-stream`, odd);
    assert.equal(stream.headers.get("content-type"), "application/vnd.amazon.eventstream");
    assert.deepEqual(Buffer.from(await stream.arrayBuffer()), noise);
    const row = await rowOf(streamed);
    assert.deepEqual([row.closing?.status, row.closing?.estimated], ["ok", true]);
  });

  it("may name a model with raw colons and slashes too, and go out encoded once", async () => {
    const arn = ARN.replace("abc123", "raw");
    gateway.simulator.scriptModel(arn, says("Raw."));
    const answer = await native(`/model/${arn}/converse`, JSON.stringify({ messages: HELLO }));
    assert.equal(answer.status, 200);
    await answer.text();
    assert.equal(sentTo(arn).path, `/model/${encodeURIComponent(arn)}/converse`);
  });

  it("that are no model's, no operation's or no body's are refused in AWS's shape", async () => {
    const paths: [string, number, string][] = [
      ["/bedrock/model/a%20b/converse", 404, "ResourceNotFoundException"],
      ["/bedrock/model/%zz/converse", 404, "UnknownOperationException"],
      ["/bedrock/model/m/other", 404, "UnknownOperationException"],
      ["/bedrock/guardrail/g/version/1/apply", 404, "UnknownOperationException"],
    ];
    for (const [path, status, type] of paths) {
      const response = await native(path, "{}");
      assert.deepEqual([path, response.status, response.headers.get("x-amzn-errortype")], [path, status, type]);
      assert.deepEqual(Object.keys((await response.json()) as object), ["message"]);
    }
    const get = await fetch(`${gateway.url}/bedrock/model/m/converse`);
    assert.deepEqual([get.status, get.headers.get("x-amzn-errortype")], [405, "UnknownOperationException"]);
    await get.text();
    const large = await native("/bedrock/model/m/converse", Buffer.alloc(33 * 1024 * 1024, 32));
    assert.deepEqual([large.status, large.headers.get("x-amzn-errortype")], [413, "ValidationException"]);
    await large.text();
  });

  it("may not name a bucket that the operator has not allowed", async () => {
    const image = { image: { format: "png", source: { s3Location: { uri: "s3://secret/a.png" } } } };
    const response = await native(
      "/bedrock/model/m/converse",
      JSON.stringify({ messages: [{ role: "user", content: [image] }] }),
    );
    assert.deepEqual([response.status, response.headers.get("x-amzn-errortype")], [400, "ValidationException"]);
    assert.match(await response.text(), /secret/);
  });
});

const CONFIG: BedrockRuntimeClientConfig = {
  region: "us-east-1",
  endpoint: `${gateway.url}/bedrock`,
  token: { token: gateway.key },
  authSchemePreference: ["httpBearerAuth"],
  maxAttempts: 1,
};

function client(more: BedrockRuntimeClientConfig = {}): BedrockRuntimeClient {
  return new BedrockRuntimeClient({ ...CONFIG, ...more });
}

/** A model of the test's own that answers so. */
function script(answer: Answer): string {
  const model = uniqueModel();
  gateway.simulator.scriptModel(model, answer);
  return model;
}

function sentTo(model: string) {
  const request = gateway.simulator.requests.find(({ modelId, method }) => modelId === model && method === "POST");
  if (request === undefined) throw new Error(`nothing was sent to ${model}`);
  return request;
}

function rowOf(model: string) {
  return until(`a closed call of ${model}`, async () =>
    (await gateway.usage()).find(({ modelInvoked, closing }) => modelInvoked === model && closing !== undefined),
  );
}

async function failure(runtime: BedrockRuntimeClient, modelId: string): Promise<BedrockRuntimeServiceException> {
  const error: unknown = await runtime
    .send(new ConverseCommand({ modelId, messages: HELLO }))
    .catch((reason) => reason);
  assert.ok(error instanceof BedrockRuntimeServiceException, String(error));
  return error;
}

function native(path: string, body: string | Uint8Array): Promise<Response> {
  return gateway.chat(body, { path });
}
