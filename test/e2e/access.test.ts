/** Who may ask for what, and how often. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { ask, readError, startTestGateway, uniqueModel, until } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const UNKNOWN = `sk-${"A".repeat(43)}`;

describe("a request without a valid key", { concurrency: true }, () => {
  const cases: Record<string, Record<string, string>> = {
    "has none": {},
    "has an empty Authorization": { authorization: "" },
    "has Basic credentials": { authorization: `Basic ${Buffer.from("user:password").toString("base64")}` },
    "has the bare key": { authorization: UNKNOWN },
    "has a Bearer without a key": { authorization: "Bearer " },
    "has a key that is not one": { authorization: "Bearer hello" },
    "has an unknown key": { authorization: `Bearer ${UNKNOWN}` },
    "has an unknown x-api-key": { "x-api-key": UNKNOWN },
    "has a wrong Authorization beside a valid x-api-key": {
      authorization: `Bearer ${UNKNOWN}`,
      "x-api-key": gateway.key,
    },
  };
  for (const [name, headers] of Object.entries(cases)) {
    it(`is refused when it ${name}`, async () => {
      const model = uniqueModel();
      const error = await readError(await gateway.chat(ask(model), { key: null, headers }));
      assert.deepEqual([error.status, error.code, error.type], [401, "invalid_api_key", "invalid_request_error"]);
      assert.ok(!error.message.includes(UNKNOWN));
      assert.equal(seen(model), 0);
    });
  }

  it("is refused when its key has expired", async () => {
    const { key, secret } = await gateway.keys.create({ name: "expired" });
    await gateway.store.keys.update(key.id, { expiresAt: Date.now() - 1 }, { at: Date.now(), by: "test" });
    const error = await readError(await gateway.chat(ask("any"), { key: secret }));
    assert.deepEqual([error.status, error.code], [401, "invalid_api_key"]);
    assert.match(error.message, /expired/);
  });

  it("is refused within two seconds after its key was revoked", async () => {
    const { key, secret } = await gateway.keys.create({ name: "revoked" });
    const status = async () => {
      const response = await gateway.chat(ask(uniqueModel()), { key: secret });
      await response.text();
      return response.status;
    };
    assert.equal(await status(), 200);
    await gateway.keys.revoke(key.id);
    await until("a refusal", async () => ((await status()) === 401 ? true : undefined), 2_000);
  });

  it("is refused when its key was replaced", async () => {
    const { key, secret } = await gateway.keys.create({ name: "rotated" });
    const { secret: fresh } = await gateway.keys.rotate(key.id);
    assert.equal((await readError(await gateway.chat(ask("any"), { key: secret }))).status, 401);
    const response = await gateway.chat(ask(uniqueModel()), { key: fresh });
    assert.equal(response.status, 200, await response.text());
  });
});

describe("a request with a valid key", { concurrency: true }, () => {
  const ways: Record<string, Record<string, string>> = {
    "x-api-key": { "x-api-key": gateway.key },
    "api-key": { "api-key": gateway.key },
    "Authorization in another case": { authorization: `bEARER   ${gateway.key}  ` },
  };
  for (const [name, headers] of Object.entries(ways)) {
    it(`is let in by ${name}`, async () => {
      const response = await gateway.chat(ask(uniqueModel()), { key: null, headers });
      assert.equal(response.status, 200, await response.text());
    });
  }

  it("may use the models of the key's list and no others", async () => {
    const { key, secret } = await gateway.keys.create({
      name: "some models",
      models: ["test.model-*", "meta.exact-v1:0"],
    });
    for (const model of [uniqueModel(), "meta.exact-v1:0"]) {
      const response = await gateway.chat(ask(model), { key: secret });
      assert.equal(response.status, 200, await response.text());
    }
    for (const model of ["meta.exact-v1:1", "us.meta.exact-v1:0", "amazon.nova-micro-v1:0"]) {
      const error = await readError(await gateway.chat(ask(model), { key: secret }));
      assert.deepEqual([error.status, error.code, error.param], [403, "model_not_allowed", "model"]);
      assert.equal(error.type, "permission_error");
    }
    assert.equal((await gateway.usage()).filter(({ keyId }) => keyId === key.id).length, 2);
  });

  it("has exactly its requests per minute, however many come at once", async () => {
    const { key, secret } = await gateway.keys.create({ name: "ten a minute", rpm: 10 });
    const model = uniqueModel();
    const responses = await Promise.all(Array.from({ length: 40 }, () => gateway.chat(ask(model), { key: secret })));
    const passed = responses.filter(({ status }) => status === 200);
    const refused = responses.filter(({ status }) => status !== 200);
    assert.deepEqual([passed.length, refused.length, seen(model)], [10, 30, 10]);

    const remaining = passed.map(({ headers }) => Number(headers.get("x-ratelimit-remaining-requests")));
    assert.deepEqual(
      remaining.sort((a, b) => a - b),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    for (const response of responses) {
      assert.equal(response.headers.get("x-ratelimit-limit-requests"), "10");
      assert.match(response.headers.get("x-ratelimit-reset-requests") ?? "", /^(5\ds|1m0s)$/);
    }
    for (const response of refused) {
      const error = await readError(response);
      assert.deepEqual([error.status, error.code, error.type], [429, "rate_limit_exceeded", "rate_limit_error"]);
      const seconds = Number(error.headers.get("retry-after"));
      assert.ok(Number.isInteger(seconds) && seconds > 50 && seconds <= 60);
      assert.equal(error.headers.get("x-ratelimit-remaining-requests"), "0");
    }
    await Promise.all(passed.map((response) => response.text()));
    assert.equal((await gateway.usage()).filter(({ keyId }) => keyId === key.id).length, 10);
  });

  it("is not held by another key's limit", async () => {
    const { secret: spent } = await gateway.keys.create({ name: "one a minute", rpm: 1 });
    const { secret: other } = await gateway.keys.create({ name: "another", rpm: 1 });
    const statuses: number[] = [];
    for (const key of [spent, spent, other]) {
      const response = await gateway.chat(ask(uniqueModel()), { key });
      statuses.push(response.status);
      await response.text();
    }
    assert.deepEqual(statuses, [200, 429, 200]);
  });
});

/** How many requests for the model Bedrock got. */
function seen(model: string): number {
  return gateway.simulator.requests.filter(({ modelId }) => modelId === model).length;
}
