/** The gateway's own credentials: every way to give them, and that they stay where they belong. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { inspect } from "node:util";
import { refreshingCredentials } from "../../src/bedrock/credentials.ts";
import { fails, says } from "../../src/simulator/simulator.ts";
import { ask, readError, startTestGateway, type TestGateway, uniqueModel } from "./harness.ts";

const SESSION = {
  accessKeyId: "ASIASESSIONSESSION01",
  secretAccessKey: "session-secret-0123456789abcdefghijklmnop",
  sessionToken: "session-token-/+==0123456789",
};

describe("credentials", () => {
  it("may be a Bedrock API key, which then goes before all others and signs nothing", async () => {
    const token = "bedrock-api-key-0123456789abcdef";
    await using gateway = await startTestGateway({
      credentials: "environment",
      env: { AWS_BEARER_TOKEN_BEDROCK: token },
      simulator: { bearerTokens: [token] },
    });
    await checkWorks(gateway);
    for (const { headers } of gateway.simulator.requests) {
      assert.equal(headers.authorization, `Bearer ${token}`);
      assert.deepEqual([headers["x-amz-date"], headers["x-amz-content-sha256"]], [undefined, undefined]);
    }
    checkSilence(gateway, [token]);
  });

  it("may have a session token, from the environment as every AWS SDK reads it", async () => {
    setEnvironment({
      AWS_ACCESS_KEY_ID: SESSION.accessKeyId,
      AWS_SECRET_ACCESS_KEY: SESSION.secretAccessKey,
      AWS_SESSION_TOKEN: SESSION.sessionToken,
    });
    await using gateway = await startTestGateway({ credentials: "environment", simulator: { credentials: SESSION } });
    await checkWorks(gateway);
    for (const { headers } of gateway.simulator.requests)
      assert.equal(headers["x-amz-security-token"], SESSION.sessionToken);
    checkSilence(gateway, [SESSION.secretAccessKey, SESSION.sessionToken]);
  });

  it("are told to be wrong to the operator, not to the client", async () => {
    await using gateway = await startTestGateway({ simulator: { credentials: SESSION } });
    const error = await readError(await gateway.chat(ask(uniqueModel())));
    assert.deepEqual([error.status, error.code], [500, "upstream_auth_error"]);
    assert.doesNotMatch(error.message, /AKID|token/);
    const line = await gateway.serviceLine(error.headers.get("x-request-id"));
    assert.ok(line);
  });

  it("that can't be loaded are an error in JSON, and nothing is sent", async () => {
    const load = () => Promise.reject(new Error("no instance role"));
    const credentials = refreshingCredentials({ load, now: Date.now, onError: () => {} });
    await using gateway = await startTestGateway({ credentials });
    const error = await readError(await gateway.chat(ask(uniqueModel())));
    assert.deepEqual([error.status, error.code], [500, "upstream_auth_error"]);
    assert.doesNotMatch(error.message, /instance role/);
    assert.deepEqual([gateway.simulator.requests, await gateway.usage()], [[], []]);
  });

  it("are renewed while requests go on", async () => {
    let issued = 0;
    const load = async () => {
      issued += 1;
      // From five minutes before their end they are renewed in the background.
      const expiration = new Date(Date.now() + (issued === 1 ? 60_000 : 3_600_000));
      return { ...SESSION, sessionToken: `token-${issued}`, expiration };
    };
    const accepted = ["token-1", "token-2"].map((sessionToken) => ({ ...SESSION, sessionToken }));
    await using gateway = await startTestGateway({
      credentials: refreshingCredentials({ load, now: Date.now, onError: () => {} }),
      simulator: { verify: false },
    });
    for (let call = 0; call < 5; call += 1) {
      const response = await gateway.chat(ask(uniqueModel()));
      assert.equal(response.status, 200, await response.text());
    }
    const tokens = gateway.simulator.requests.map(({ headers }) => headers["x-amz-security-token"]);
    assert.equal(tokens[0], accepted[0]?.sessionToken);
    assert.equal(tokens.at(-1), accepted[1]?.sessionToken);
    assert.equal(issued, 2);
  });
});

describe("secrets", () => {
  it("are in no log and in no row, and neither is what was said", async () => {
    await using gateway = await startTestGateway({
      credentials: refreshingCredentials({ load: async () => SESSION, now: Date.now, onError: () => {} }),
      simulator: { credentials: SESSION },
      env: { LOG_LEVEL: "trace" },
    });
    const question = "PROMPT-that-nobody-else-may-read";
    const answer = "ANSWER-that-nobody-else-may-read";
    const wrong = `sk-${"W".repeat(43)}`;
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, [
      says(answer, { times: 2 }),
      fails("ValidationException", { message: `Bad: ${question}` }),
      { kind: "events", steps: [{ exception: "validationException", payload: { message: `Bad: ${question}` } }] },
      { kind: "cut", at: "before-headers" },
      { kind: "json", body: Buffer.from(answer) },
    ]);
    const messages = [{ role: "user", content: question }];
    const path = `/v1/chat/completions?key=${gateway.key}`;
    const headers = { "x-api-key": gateway.key, cookie: `key=${gateway.key}` };
    const ids: (string | null)[] = [];
    for (const stream of [false, true, false, true, false, false]) {
      const response = await gateway.chat({ model, messages, stream }, { path, headers });
      await response.text();
      ids.push(response.headers.get("x-request-id"));
    }
    const refusals = [
      await gateway.chat({ model, messages }, { key: wrong }),
      await gateway.chat({ model, messages }, { key: null, headers: { authorization: `Basic ${gateway.key}` } }),
      await gateway.chat(`${question} is not JSON`),
      await gateway.chat({ model, messages: [{ role: "user", content: { secret: question } }] }),
      await gateway.chat({ model, messages, tool_choice: question }),
    ];
    for (const response of refusals) {
      await response.text();
      ids.push(response.headers.get("x-request-id"));
    }
    await Promise.all(ids.map((id) => gateway.accessLine(id)));
    assert.equal((await gateway.usage()).length, 6);
    const secrets = [gateway.key, wrong, SESSION.secretAccessKey, SESSION.sessionToken, question, answer];
    checkSilence(gateway, secrets);
    const rows = inspect(await gateway.usage(), { depth: null, maxArrayLength: null, maxStringLength: null });
    for (const secret of secrets) assert.ok(!rows.includes(secret));
  });
});

async function checkWorks(gateway: TestGateway): Promise<void> {
  for (const stream of [false, true]) {
    const response = await gateway.chat(ask(uniqueModel(), { stream }));
    assert.equal(response.status, 200, await response.text());
  }
  const list = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${gateway.key}` } });
  assert.equal(list.status, 200, await list.text());
}

function checkSilence(gateway: TestGateway, secrets: readonly string[]): void {
  const logs = {
    envoy: gateway.envoyLog(),
    service: gateway
      .serviceLog()
      .map((line) => JSON.stringify(line))
      .join("\n"),
  };
  for (const [name, log] of Object.entries(logs)) {
    for (const secret of secrets) {
      const found = log.split("\n").find((line) => line.includes(secret));
      assert.equal(found, undefined, `${name}'s log has ${secret}`);
    }
  }
}

function setEnvironment(values: Readonly<Record<string, string>>): void {
  Object.assign(process.env, values);
  after(() => {
    for (const name of Object.keys(values)) delete process.env[name];
  });
}
