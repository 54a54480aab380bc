/** Keys: the same settings, words and answers as `keys` on the command line. */
import { readImport } from "../access/key-import.ts";
import { keyJson, keySettingsFrom, settingsJson } from "../access/key-json.ts";
import { completeSettings, type IssuedKey, type Keys, type NewKeySettings } from "../access/keys.ts";
import { spentOf } from "../access/spent.ts";
import { formatUsd } from "../money.ts";
import type { CallStore } from "../store/store.ts";
import { AdminError } from "./errors.ts";
import type { AdminApp } from "./gate.ts";
import { type Answer, BODY_REFUSALS, failure, ok, operation, takes } from "./openapi.ts";
import * as schemas from "./schemas.ts";

export interface KeysRoutesOptions {
  readonly keys: Keys;
  readonly calls: Pick<CallStore, "budgets">;
  /** Unix milliseconds. */
  readonly now: () => number;
}

const WRONG = { 400: failure("A setting is wrong; `field` names it"), ...BODY_REFUSALS };
const NOT_FOUND = { 404: failure("There is no such key") };
const FORBIDDEN = { 409: failure("The key's state forbids it: a revoked one stays revoked") };

const ACTIONS = [
  ["block", "Refuse a key until it is unblocked"],
  ["unblock", "Let a blocked key work again"],
  ["revoke", "End a key for good"],
] as const;

/** They are made in one transaction, which calls wait for. */
const MAX_IMPORT_ROWS = 1000;
const MAX_SHOWN_PROBLEMS = 100;

export function mountKeys(app: AdminApp, { keys, calls, now }: KeysRoutesOptions): void {
  const one = (description: string): Answer => ok(description, schemas.keyJson);
  const issued = ({ key, secret }: IssuedKey) => ({ ...keyJson(key, now()), key: secret });

  async function importRows(file: Uint8Array): Promise<readonly NewKeySettings[]> {
    const { rows, problems } = readImport(file, { keys: await keys.list(), now: now() });
    if (rows.length > MAX_IMPORT_ROWS) {
      throw new AdminError(400, `The file has ${rows.length} keys: ${MAX_IMPORT_ROWS} can be made at once here.`);
    }
    if (problems.length === 0) return rows;
    const lines = problems.slice(0, MAX_SHOWN_PROBLEMS).map(({ line, message }) => `line ${line}: ${message}`);
    const more = problems.length - lines.length;
    throw new AdminError(400, [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join("\n"));
  }

  app.get(
    "/api/keys",
    operation({
      tag: "keys",
      summary: "List keys, the oldest first",
      answers: { 200: ok("Keys, revoked ones too", schemas.keysJson), 400: failure("A filter is wrong") },
    }),
    takes("query", schemas.keysQuery),
    async (context) => {
      const at = now();
      const found = await keys.list(context.req.valid("query"));
      return context.json(found.map((key) => keyJson(key, at)));
    },
  );

  app.post(
    "/api/keys",
    operation({
      tag: "keys",
      summary: "Make a key; its secret is shown once",
      answers: { 201: ok("The key with its secret", schemas.issuedKeyJson), ...WRONG },
    }),
    takes("json", schemas.newKey),
    async (context) => {
      const { name, ...settings } = context.req.valid("json");
      return context.json(issued(await keys.create({ ...keySettingsFrom(settings), name })), 201);
    },
  );

  app.post(
    "/api/keys/import",
    operation({
      tag: "keys",
      summary: `Make up to ${MAX_IMPORT_ROWS} keys from a CSV file, or none when anything is wrong with it`,
      description: "The columns are named as the options of `keys create`. With dry_run nothing is made.",
      body: { media: "text/csv", description: "UTF-8; the first line names the columns" },
      answers: {
        200: ok("With dry_run: the settings that the keys would have", schemas.plannedKeysJson),
        201: ok("The keys with their secrets", schemas.issuedKeysJson),
        400: failure("What is wrong, by line"),
        ...BODY_REFUSALS,
      },
    }),
    takes("query", schemas.importQuery),
    async (context) => {
      const rows = await importRows(new Uint8Array(await context.req.arrayBuffer()));
      if (context.req.valid("query").dry_run === "true") {
        return context.json(rows.map((row) => settingsJson(completeSettings(row))));
      }
      return context.json((await keys.createMany(rows)).map(issued), 201);
    },
  );

  app.get(
    "/api/keys/:id",
    operation({
      tag: "keys",
      summary: "Show a key, and what it has spent of its budget",
      answers: { 200: ok("The key", schemas.keyWithSpentJson), ...NOT_FOUND },
    }),
    async (context) => {
      const at = now();
      const key = await keys.show(keyId(context.req.param("id")));
      const spent = await spentOf(calls, `key:${key.id}`, key, at);
      return context.json({ ...keyJson(key, at), spent_usd: spent === null ? null : formatUsd(spent) });
    },
  );

  app.patch(
    "/api/keys/:id",
    operation({
      tag: "keys",
      summary: "Change a key's settings",
      description: "What is not given stays as it is; null takes a setting away.",
      answers: { 200: one("The key as it is now"), ...WRONG, ...NOT_FOUND },
    }),
    takes("json", schemas.keyChanges),
    async (context) => {
      const changes = keySettingsFrom(context.req.valid("json"));
      return context.json(keyJson(await keys.update(keyId(context.req.param("id")), changes), now()));
    },
  );

  for (const [action, summary] of ACTIONS) {
    app.post(
      `/api/keys/:id/${action}`,
      operation({ tag: "keys", summary, answers: { 200: one("The key as it is now"), ...NOT_FOUND, ...FORBIDDEN } }),
      async (context) => context.json(keyJson(await keys[action](keyId(context.req.param("id"))), now())),
    );
  }

  app.post(
    "/api/keys/:id/rotate",
    operation({
      tag: "keys",
      summary: "Give a key a new secret; it is shown once",
      answers: {
        200: ok("The key with its new secret", schemas.issuedKeyJson),
        ...WRONG,
        ...NOT_FOUND,
        ...FORBIDDEN,
      },
    }),
    takes("json", schemas.rotation),
    async (context) => {
      const { grace } = context.req.valid("json");
      const id = keyId(context.req.param("id"));
      return context.json(issued(await keys.rotate(id, grace === undefined ? {} : { graceMs: grace })));
    },
  );
}

/** Names are for people at the command line; here they would make a path mean two things. */
function keyId(text: string | undefined): string {
  if (text !== undefined && /^key_[0-9a-f]{20}$/.test(text)) return text;
  throw new AdminError(404, "There is no such key.");
}
