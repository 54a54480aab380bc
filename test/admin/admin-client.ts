/**
 * The admin port over a real store and real HTTP. Every answer is held against /openapi.json, and searched for secrets.
 */
import assert from "node:assert/strict";
import { hash, randomBytes as nodeRandomBytes } from "node:crypto";
import { type IncomingHttpHeaders, request } from "node:http";
import { buffer } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { createKeys } from "../../src/access/keys.ts";
import { createTeams } from "../../src/access/teams.ts";
import { type AdminAppOptions, createAdminApp } from "../../src/admin/app.ts";
import { startAdminServer } from "../../src/admin/server.ts";
import { openTempStore, type TempStore } from "../store/temp-store.ts";

export const TOKEN = "correct horse battery staple";
export const START = Date.parse("2026-11-22T12:00:00.000Z");

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what is asserted about it is what it is
  readonly json: any;
}

export interface AskOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Null: none. */
  readonly token?: string | null;
  /** Holds the path as it is against the description; false for what is not described. */
  readonly described?: boolean;
}

export interface Admin extends TempStore {
  readonly port: number;
  /** Lines that were logged. */
  readonly lines: unknown[];
  readonly clock: { now: number };
  ask(method: string, path: string, options?: AskOptions): Promise<Answer>;
}

export async function startAdmin(t: TestContext, options: Partial<AdminAppOptions> = {}): Promise<Admin> {
  const temp = await openTempStore(t);
  const clock = { now: START };
  const lines: unknown[] = [];
  const now = () => clock.now;
  const randomBytes = (size: number) => nodeRandomBytes(size);
  const write = (...line: unknown[]) => void lines.push(line);
  const by = { now, randomBytes, by: "admin" };
  const app = createAdminApp({
    store: temp.store,
    keys: createKeys(temp.store, by),
    teams: createTeams(temp.store, by),
    tokenSha256: hash("sha256", TOKEN, "hex"),
    now,
    randomBytes,
    notReady: () => undefined,
    metrics: async () => "gateway_up 1\n",
    log: { info: write, warn: write, error: write },
    ...options,
  });
  const server = await startAdminServer({ host: "127.0.0.1", port: 0, app });
  t.after(() => server.close());
  const described = describedBy(JSON.parse((await send(server.port, "GET", "/openapi.json", {})).text));

  async function ask(method: string, path: string, asked: AskOptions = {}): Promise<Answer> {
    const answer = await send(server.port, method, path, asked);
    if (asked.described !== false) described(method, path, answer);
    assertNoSecret(path, answer);
    return answer;
  }
  return { ...temp, port: server.port, lines, clock, ask };
}

async function send(
  port: number,
  method: string,
  path: string,
  { body, headers = {}, token = TOKEN }: AskOptions,
): Promise<Answer> {
  const bytes = body === undefined || body instanceof Uint8Array ? body : Buffer.from(toText(body));
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const call = request({
    host: "127.0.0.1",
    port,
    method,
    path,
    agent: false,
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(bytes !== undefined && { "content-type": "application/json", "content-length": bytes.byteLength }),
      ...headers,
    },
  });
  call.on("error", reject);
  call.on("response", async (response) => {
    const text = (await buffer(response)).toString();
    const isJson = response.headers["content-type"]?.startsWith("application/json") && method !== "HEAD";
    const json = isJson ? JSON.parse(text) : undefined;
    resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
  });
  call.end(bytes);
  return promise;
}

function toText(body: unknown): string {
  return typeof body === "string" ? body : JSON.stringify(body);
}

/** Nothing but the making and rotating of a key may show one, once; a hash is shown by nobody. */
function assertNoSecret(path: string, { status, text, headers }: Answer): void {
  const shown = text.match(/sk-[A-Za-z0-9_-]{43}/g) ?? [];
  const allowed = /^\/api\/keys(\/key_[0-9a-f]+\/rotate|\/import.*)?$/.test(path) && status < 300;
  if (!allowed) assert.deepEqual(shown, [], `${path} shows a secret`);
  assert.equal(new Set(shown).size, shown.length);
  assert.doesNotMatch(text, /\b[0-9a-f]{64}\b/, `${path} shows a hash`);
  assert.doesNotMatch(text, new RegExp(TOKEN), `${path} shows the admin token`);
  assert.doesNotMatch(JSON.stringify(headers), new RegExp(TOKEN));
}

type Json = Readonly<Record<string, unknown>>;

// biome-ignore lint/suspicious/noExplicitAny: the document is checked by a test of its own
function describedBy(document: any): (method: string, path: string, answer: Answer) => void {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, formats: { "date-time": isTime } });
  ajv.addVocabulary(["components", "paths", "openapi", "info", "security", "tags"]);
  ajv.addSchema({ components: document.components }, "openapi");
  return (method, asked, { status, json, headers }) => {
    const [path] = Object.keys(document.paths)
      .filter((pattern) => patternOf(pattern).test(asked.split("?")[0] ?? ""))
      .sort((a, b) => a.split("{").length - b.split("{").length);
    assert.ok(path !== undefined, `${asked} is not in the description`);
    const response = document.paths[path][method.toLowerCase()]?.responses[status];
    assert.ok(response !== undefined, `${method} ${path} answered ${status}, which is not in the description`);
    const media = headers["content-type"]?.split(";")[0];
    if (media === undefined) return assert.equal(response.content, undefined, `${method} ${path} has no content`);
    const schema = response.content?.[media]?.schema;
    assert.ok(schema !== undefined, `${method} ${path} ${status} answered ${media}, which is not in the description`);
    if (media !== "application/json") return;
    const check = ajv.compile(absolute(schema));
    assert.ok(check(json), `${method} ${path} ${status}: ${ajv.errorsText(check.errors)} in ${JSON.stringify(json)}`);
  };
}

function absolute(schema: Json): Json {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components'));
}

export function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/\{\w+\}/g, "[^/]+")}$`);
}

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text);
}
