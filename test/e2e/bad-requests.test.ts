/** Bodies that are no request: refused with the reason, as JSON, and never forwarded. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { ask, readError, startTestGateway, uniqueModel } from "./harness.ts";
import { type RawReply, rawRequest } from "./raw-http.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const CHAT = `${gateway.url}/v1/chat/completions`;
const AUTHORIZATION = { authorization: `Bearer ${gateway.key}` };
const MIB = 1024 * 1024;

describe("a body", { concurrency: true }, () => {
  const cases: Record<string, string | Uint8Array> = {
    "that is empty": "",
    "of white space": "  \n ",
    "that is not JSON": "model=x",
    "that ends too early": '{"model":"x","messages":[',
    "with invalid UTF-8": Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    "that is an array": "[]",
    "that is null": "null",
    "that is a string": '"hello"',
    "without a model": '{"messages":[{"role":"user","content":"x"}]}',
    "without messages": '{"model":"x"}',
    "of 100,000 brackets": "[".repeat(100_000),
    "of 100,000 nested arrays": "[".repeat(100_000) + "]".repeat(100_000),
    "of 100,000 nested objects": `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`,
  };
  for (const [name, body] of Object.entries(cases)) {
    it(`${name} is refused`, async () => {
      const error = await readError(await gateway.chat(body));
      assert.deepEqual([error.status, error.type], [400, "invalid_request_error"]);
      await gateway.serviceLine(error.headers.get("x-request-id"));
    });
  }

  it("that is missing altogether is refused", async () => {
    const reply = await rawRequest(CHAT, { method: "POST", headers: { ...AUTHORIZATION, "content-length": "0" } });
    checkRefusal(reply, 400, null);
  });

  for (const [field, make] of Object.entries({
    "a tool's parameters": (nested: string) =>
      `{"model":"MODEL","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"a":${nested}}}}]}`,
    "a message's content": (nested: string) => `{"model":"MODEL","messages":[{"role":"user","content":${nested}}]}`,
    "a field that is ignored": (nested: string) =>
      `{"model":"MODEL","messages":[{"role":"user","content":"x"}],"metadata":${nested}}`,
  })) {
    it(`with 100,000 levels in ${field} does not make the gateway fail`, async () => {
      const nested = "[".repeat(100_000) + "]".repeat(100_000);
      const model = uniqueModel();
      const response = await gateway.chat(make(nested).replace("MODEL", model));
      const text = await response.text();
      // What was forwarded is Bedrock's to judge; the simulator itself is too small for it.
      const forwarded = gateway.simulator.requests.some(({ modelId }) => modelId === model);
      assert.ok(response.status === 400 || forwarded, `${response.status} ${text}`);
    });
  }

  it("in gzip is refused, because nothing would unpack it", async () => {
    const body = gzipSync(JSON.stringify(ask("any")));
    const error = await readError(await gateway.chat(body, { headers: { "content-encoding": "gzip" } }));
    assert.equal(error.status, 400);
    assert.match(error.message, /content-encoding/);
  });

  it("names a model that can't be one", async () => {
    for (const model of ["", "a b", "..", "x?y=z", "x#y", "modèle", "x".repeat(3_000), "a\r\nb"]) {
      const error = await readError(await gateway.chat(ask(model)));
      assert.ok(error.status === 404 || error.status === 400, model);
      assert.equal(error.param, "model", model);
    }
  });

  it("is read whole when it comes in chunks, and goes on with a length", async () => {
    const model = uniqueModel();
    const body = JSON.stringify(ask(model));
    const reply = await rawRequest(CHAT, { method: "POST", headers: AUTHORIZATION, body, chunkSize: 7 });
    assert.equal(reply.status, 200, reply.body);
    const { headers } = await gateway.simulator.waitFor(({ modelId }) => modelId === model);
    assert.ok(Number(headers["content-length"]) > 0);
    assert.equal(headers["transfer-encoding"], undefined);
  });

  it("of some megabytes goes through, and comes out of Envoy whole", async () => {
    const model = uniqueModel();
    const content = "x".repeat(10 * MIB);
    const response = await gateway.chat({ model, messages: [{ role: "user", content }] });
    assert.equal(response.status, 200, await response.text());
    const { body } = await gateway.simulator.waitFor(({ modelId }) => modelId === model);
    assert.ok(body.includes(content));
  });

  it("above the limit is refused with its length alone", async () => {
    const body = Buffer.alloc(33 * MIB, "x");
    checkRefusal(await rawRequest(CHAT, { method: "POST", headers: AUTHORIZATION, body }), 413, "request_too_large");
  });

  it("above the limit is refused in chunks too", async () => {
    const options = { method: "POST", headers: AUTHORIZATION, body: Buffer.alloc(33 * MIB, "x"), chunkSize: MIB };
    checkRefusal(await rawRequest(CHAT, options), 413, "request_too_large");
  });

  it("waits for 100 Continue when it expects one", async () => {
    let continued = false;
    const reply = await rawRequest(CHAT, {
      method: "POST",
      headers: { ...AUTHORIZATION, expect: "100-continue" },
      body: JSON.stringify(ask(uniqueModel())),
      onContinue: () => {
        continued = true;
      },
    });
    assert.deepEqual([reply.status, continued], [200, true]);
  });
});

describe("refused requests", () => {
  it("leave no row in the ledger", async () => {
    const { key, secret } = await gateway.keys.create({ name: "only refused" });
    const bodies = ["", "{", "[]", ask("a b"), ask("x", { logprobs: true })];
    for (const body of bodies) assert.ok((await gateway.chat(body, { key: secret })).status >= 400);
    assert.deepEqual(
      (await gateway.usage()).filter(({ keyId }) => keyId === key.id),
      [],
    );
  });
});

function checkRefusal(reply: RawReply, status: number, code: string | null): void {
  assert.equal(reply.status, status);
  assert.match(String(reply.headers["content-type"]), /^application\/json\b/);
  const { error } = JSON.parse(reply.body);
  assert.deepEqual([error.type, error.code], ["invalid_request_error", code]);
}
