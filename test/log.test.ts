import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GatewayError } from "../src/errors.ts";
import { createLogger } from "../src/log.ts";

const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

function capture(write: (log: ReturnType<typeof createLogger>) => void, level: "info" | "warn" = "info") {
  const lines: string[] = [];
  write(createLogger(level, { write: (line: string) => lines.push(line) }));
  return { text: lines.join(""), lines: lines.map((line) => JSON.parse(line)) };
}

describe("createLogger", () => {
  it("writes a JSON object a line, with level, time, service and message", () => {
    const { text, lines } = capture((log) => {
      log.info({ request_id: "r-1", input_tokens: 7, stream: true }, "call");
      log.warn("careful");
    });
    assert.equal(text.split("\n").length, 3);
    const { time, ...line } = lines[0];
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.deepEqual(line, {
      level: "info",
      service: "bedrock-gateway",
      request_id: "r-1",
      input_tokens: 7,
      stream: true,
      msg: "call",
    });
    assert.equal(lines[1].level, "warn");
  });

  it("leaves out what lies below its level", () => {
    const { lines } = capture((log) => {
      log.info("no");
      log.warn("yes");
    }, "warn");
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ["yes"],
    );
  });

  for (const name of [
    "authorization",
    "Authorization",
    "x-api-key",
    "api-key",
    "apiKey",
    "key",
    "secret",
    "secretAccessKey",
    "AWS_SECRET_ACCESS_KEY",
    "sessionToken",
    "x-amz-security-token",
    "token",
    "cookie",
  ]) {
    it(`blanks ${name} at any depth`, () => {
      const { text, lines } = capture((log) =>
        log.info({ [name]: SECRET, a: { [name]: SECRET, list: [{ b: { c: { [name]: SECRET } } }] } }, "x"),
      );
      assert.doesNotMatch(text, /wJalr/);
      assert.equal(lines[0][name], "[redacted]");
      assert.equal(lines[0].a.list[0].b.c[name], "[redacted]");
    });
  }

  it("keeps what only looks like a secret's name", () => {
    const { lines } = capture((log) => log.info({ key_id: "key_1", input_tokens: 3, model: "x", key: undefined }, "x"));
    assert.deepEqual([lines[0].key_id, lines[0].input_tokens, lines[0].model], ["key_1", 3, "x"]);
  });

  for (const [what, secret] of [
    ["a gateway key", "sk-AbCdEfGh0123456789_-AbCdEfGh0123456789xyzABC"],
    ["a bearer token", "Bearer abc.def-ghi"],
    ["an access key id", "AKIAIOSFODNN7EXAMPLE"],
    ["a temporary access key id", "ASIAIOSFODNN7EXAMPLE"],
    ["a short-term Bedrock API key", "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3M="],
    ["a long-term Bedrock API key", "ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl"],
  ] as const) {
    it(`blanks ${what} in messages, fields, errors and their causes, and leaves a whole line of JSON`, () => {
      const inner = new Error(`inner "${secret}" text`);
      const { text, lines } = capture((log) => {
        log.info(`message ${secret} end`);
        log.info({ note: { deep: `field ${secret}` } }, "x");
        log.error({ err: new Error(`outer ${secret}`, { cause: inner }) }, "failed");
        log.error(new Error(`alone ${secret}`));
      });
      assert.ok(!text.includes(secret.replace(/^Bearer /, "")));
      assert.equal(lines[0].msg, "message [redacted] end");
      assert.equal(lines[1].note.deep, "field [redacted]");
      assert.equal(lines[2].err.message, "outer [redacted]");
      assert.equal(lines[2].err.cause.message, 'inner "[redacted]" text');
      assert.equal(lines[3].msg, "alone [redacted]");
    });
  }

  it("blanks a secret behind a line's end or an escape, and a key of the gateway behind anything", () => {
    const key = "sk-AbCdEfGh0123456789_-AbCdEfGh0123456789xyzABC";
    const secrets = [key, "AKIAIOSFODNN7EXAMPLE", "Bearer abcdefghijklmnop", `ABSK${"x".repeat(20)}`];
    for (const text of [
      ...secrets.flatMap((secret) => [`a\n${secret}`, `\t${secret}`, `\u001b${secret}`]),
      `%20${key}`,
      `_${key}`,
    ]) {
      const [line] = capture((log) => log.error({ text }, "x")).lines;
      assert.match(line.text, /\[redacted\]/, JSON.stringify(text));
      assert.doesNotMatch(line.text, /AbCdEf|AKIA|abcdef|xxx/, JSON.stringify(text));
    }
    const [line] = capture((log) => log.error({ text: "risk-assessment of a task-description" }, "x")).lines;
    assert.equal(line.text, "risk-assessment of a task-description");
  });

  it("writes an error with its stack, code and all its causes, plain objects too", () => {
    const fault = { type: "AccessDeniedException", message: "User: arn:aws:iam::1:role/x may not", status: 403 };
    const cause = new TypeError("second", { cause: { bedrock: fault } });
    const { lines } = capture((log) => log.error({ err: new GatewayError("access_denied", "first", { cause }) }, "x"));
    const { err } = lines[0];
    assert.equal(err.type, "GatewayError");
    assert.equal(err.code, "access_denied");
    assert.match(err.stack, /log\.test\.ts/);
    assert.equal(err.cause.type, "TypeError");
    assert.equal(err.cause.message, "second");
    assert.deepEqual(err.cause.cause, { bedrock: fault });
  });

  it("writes each error of an AggregateError", () => {
    const { lines } = capture((log) =>
      log.error({ err: new AggregateError([new Error("v4"), new Error("v6")], "both") }),
    );
    assert.deepEqual(
      lines[0].err.errors.map(({ message }: { message: string }) => message),
      ["v4", "v6"],
    );
  });

  it("survives objects that hold themselves, and endless ones", () => {
    const error = Object.assign(new Error("x"), { socket: { parent: {} as object } });
    error.socket.parent = error;
    let deep: object = { end: true };
    for (let level = 0; level < 5_000; level++) deep = { deep };
    const { lines, text } = capture((log) => {
      log.error({ err: error }, "cyclic");
      log.info({ deep }, "deep");
    });
    assert.equal(lines[0].err.socket.parent, "[…]");
    assert.ok(text.length < 5_000);
  });

  it("writes the size of bytes, not the bytes", () => {
    const { lines } = capture((log) => log.info({ body: Buffer.from("a prompt") }, "x"));
    assert.equal(lines[0].body, "[8 bytes]");
  });

  it("takes an err that is no error", () => {
    const { lines } = capture((log) => {
      log.error({ err: "text" }, "x");
      log.error({ err: undefined }, "y");
    });
    assert.equal(lines[0].err, "text");
    assert.equal(lines[1].msg, "y");
  });
});
