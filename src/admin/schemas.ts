/**
 * What goes into the admin API and comes out of it, as schemas: they check what is sent, and describe both in /openapi.json.
 *
 * Here are types and bounds of size; what a setting may be is decided in access/, for the command line too.
 */
import * as v from "valibot";
import { BUDGET_PERIODS } from "../access/key-settings.ts";
import { KEY_STATUSES } from "../access/keys.ts";
import { parseDate, parseDuration } from "../time.ts";
import { USAGE_GROUPINGS } from "../usage/report.ts";

const MAX_TEXT = 2000;
const MAX_LIST = 1000;

// What is sent

const text = v.pipe(v.string("must be a text"), v.maxLength(MAX_TEXT, `must have at most ${MAX_TEXT} characters`));
const texts = v.pipe(
  v.array(text, "must be a list of texts"),
  v.maxLength(MAX_LIST, `must have at most ${MAX_LIST} members`),
);
const count = v.pipe(v.number("must be a number or null"), v.integer("must be a whole number"));
const amount = v.pipe(
  v.union(
    [v.pipe(v.string(), v.maxLength(40)), v.number()],
    'must be an amount in USD as a text, such as "12.50", or null',
  ),
  v.description("USD"),
);

const limitSettings = {
  rpm: v.exactOptional(v.nullable(v.pipe(count, v.description("Requests per minute; null: unlimited")))),
  tpm: v.exactOptional(v.nullable(v.pipe(count, v.description("Tokens per minute; null: unlimited")))),
  parallel: v.exactOptional(v.nullable(v.pipe(count, v.description("Requests at once; null: unlimited")))),
  budget_usd: v.exactOptional(v.nullable(amount)),
  soft_budget_usd: v.exactOptional(v.nullable(amount)),
  budget_period: v.exactOptional(v.picklist(BUDGET_PERIODS, `must be one of ${BUDGET_PERIODS.join(", ")}`)),
};

const keySettings = {
  owner: v.exactOptional(v.nullable(text)),
  team: v.exactOptional(v.nullable(text)),
  tags: v.exactOptional(texts),
  note: v.exactOptional(v.nullable(text)),
  models: v.exactOptional(texts),
  ...limitSettings,
  expires_at: v.exactOptional(
    v.nullable(v.pipe(text, v.description("A time, or a day: the last one that the key works, UTC"))),
  ),
};

export const logIn = body({ token: v.pipe(v.string("must be a text"), v.maxLength(MAX_TEXT, "is too long")) });
export const newKey = body({ name: text, ...keySettings });
export const keyChanges = body({ name: v.exactOptional(text), ...keySettings });
export const teamChanges = body({ note: v.exactOptional(v.nullable(text)), ...limitSettings });
export const rotation = body({
  grace: v.exactOptional(
    v.pipe(
      text,
      v.description("How long the older secrets still work, such as 1h; without it they end at once"),
      v.check((value) => parseDuration(value) !== undefined, "must be a duration such as 90s, 15m, 1h or 30d"),
      v.transform((value) => parseDuration(value) ?? 0),
    ),
  ),
});

const from = v.exactOptional(when("start", "The first moment: a time, or a day (UTC)"));
const to = v.exactOptional(when("end", "The end: a time, which is not part of it, or a day, which is (UTC)"));
const limit = v.exactOptional(
  v.pipe(
    v.string("must be given once"),
    v.regex(/^([1-9]\d{0,2}|1000)$/, "must be a whole number from 1 to 1000"),
    v.transform(Number),
  ),
  "100",
);

export const noParameters = query({});
export const keysQuery = query({
  team: v.exactOptional(text),
  tag: v.exactOptional(text),
  status: v.exactOptional(v.picklist(KEY_STATUSES, `must be one of ${KEY_STATUSES.join(", ")}`)),
});
export const importQuery = query({
  dry_run: v.exactOptional(v.picklist(["true", "false"], "must be true or false"), "false"),
});
export const auditQuery = query({
  subject: v.exactOptional(v.pipe(text, v.description("A key's id, or a team's name"))),
  before: v.exactOptional(when("start", "Entries before this time")),
  limit,
});
export const usageQuery = query({
  by: v.exactOptional(v.picklist(USAGE_GROUPINGS, `must be one of ${USAGE_GROUPINGS.join(", ")}`), "key"),
  from,
  to,
  format: v.exactOptional(v.picklist(["json", "csv"], "must be json or csv")),
});
const SERIES_GROUPINGS = ["all", "key", "team", "model"] as const;
export const seriesQuery = query({
  by: v.exactOptional(v.picklist(SERIES_GROUPINGS, `must be one of ${SERIES_GROUPINGS.join(", ")}`), "all"),
  bucket: v.exactOptional(v.picklist(["hour", "day"], "must be hour or day"), "day"),
  from,
  to,
});
export const rangeQuery = query({ from, to });
const CALL_STATES = ["ok", "error", "interrupted", "open"] as const;
export const callsQuery = query({
  key: v.exactOptional(v.pipe(text, v.description("A key's id"))),
  team: v.exactOptional(text),
  model: v.exactOptional(v.pipe(text, v.description("The model that was invoked"))),
  status: v.exactOptional(v.picklist(CALL_STATES, `must be one of ${CALL_STATES.join(", ")}`)),
  from,
  to,
  limit,
});

function body<Entries extends v.ObjectEntries>(entries: Entries) {
  return v.strictObject(entries, (issue) => {
    if (issue.expected === "never") return "is not known here";
    return issue.received === "undefined" ? "is missing" : "must be a JSON object";
  });
}

function query<Entries extends v.ObjectEntries>(entries: Entries) {
  return v.strictObject(entries, "is not known here");
}

function when(edge: "start" | "end", description: string) {
  return v.pipe(
    v.string("must be given once"),
    v.description(description),
    v.check((value) => parseMoment(value, edge) !== undefined, "must be a time such as 2026-12-01T08:00Z, or a day"),
    v.transform((value) => parseMoment(value, edge) ?? 0),
  );
}

/** A day as an end is a whole day: the range ends before the next one begins. */
function parseMoment(value: string, edge: "start" | "end"): number | undefined {
  const at = parseDate(value, edge);
  return at === undefined || edge === "start" || value.includes("T") ? at : at + 1;
}

// What is answered

const iso = v.pipe(v.string(), v.isoTimestamp());
const usd = v.pipe(v.string(), v.regex(/^-?\d+(\.\d+)?$/));
const integer = v.pipe(v.number(), v.integer());

export const errorJson = named(
  "Error",
  v.strictObject({ error: v.strictObject({ message: v.string(), field: v.exactOptional(v.string()) }) }),
);

export const sessionJson = v.strictObject({
  authenticated: v.literal(true),
  expires_at: v.pipe(v.nullable(iso), v.description("Null for a token")),
});

const limitsJson = {
  rpm: v.nullable(integer),
  tpm: v.nullable(integer),
  parallel: v.nullable(integer),
  budget_usd: v.nullable(usd),
  soft_budget_usd: v.nullable(usd),
  budget_period: v.picklist(BUDGET_PERIODS),
};

const keySettingsJson = {
  name: v.string(),
  owner: v.nullable(v.string()),
  team: v.nullable(v.string()),
  tags: v.array(v.string()),
  note: v.nullable(v.string()),
  models: v.array(v.string()),
  ...limitsJson,
  expires_at: v.nullable(iso),
};
export const plannedKeysJson = v.array(named("KeySettings", v.strictObject(keySettingsJson)));

const keyMembers = {
  id: v.string(),
  prefix: v.pipe(v.string(), v.description("How the newest secret begins")),
  status: v.picklist(KEY_STATUSES),
  ...keySettingsJson,
  created_at: iso,
  created_by: v.nullable(v.string()),
  blocked_at: v.nullable(iso),
  revoked_at: v.nullable(iso),
  last_used_at: v.nullable(iso),
};

const spent = {
  spent_usd: v.pipe(v.nullable(usd), v.description("Of its budget, in the period that runs; null without a budget")),
};

export const keyJson = named("Key", v.strictObject(keyMembers));
export const keyWithSpentJson = v.strictObject({ ...keyMembers, ...spent });
export const keysJson = v.array(keyJson);
export const issuedKeyJson = named(
  "IssuedKey",
  v.strictObject({ ...keyMembers, key: v.pipe(v.string(), v.description("The secret, shown this once")) }),
);

export const issuedKeysJson = v.array(issuedKeyJson);

const teamMembers = {
  name: v.string(),
  keys: v.pipe(integer, v.description("Those that are not revoked")),
  note: v.nullable(v.string()),
  ...limitsJson,
  created_at: v.nullable(iso),
};

export const teamJson = named("Team", v.strictObject(teamMembers));
export const teamWithSpentJson = v.strictObject({ ...teamMembers, ...spent });
export const teamsJson = v.array(teamJson);

export const auditJson = v.array(
  named(
    "AuditEntry",
    v.strictObject({
      id: v.string(),
      at: iso,
      by: v.string(),
      action: v.string(),
      subject: v.string(),
      changes: v.record(v.string(), v.strictObject({ from: v.unknown(), to: v.unknown() })),
    }),
  ),
);

const group = v.exactOptional(v.nullable(v.string()));
const usageNumbers = {
  requests: integer,
  input_tokens: v.pipe(integer, v.description("Without cached ones, as Bedrock counts")),
  output_tokens: integer,
  cache_read_tokens: integer,
  cache_write_tokens: integer,
  cost_usd: v.pipe(v.nullable(usd), v.description("Null when nothing was priced")),
  estimated_requests: integer,
  unpriced_requests: integer,
  errors: integer,
  interrupted: integer,
};

export const usageJson = v.array(
  named(
    "UsageRow",
    v.strictObject({ key_id: group, name: group, team: group, model: group, day: group, tag: group, ...usageNumbers }),
  ),
);
export const seriesJson = v.array(
  named("SeriesPoint", v.strictObject({ at: iso, group: v.nullable(v.string()), ...usageNumbers })),
);

const milliseconds = v.nullable(v.number());
export const latencyJson = v.array(
  named(
    "Latency",
    v.strictObject({
      model: v.string(),
      requests: integer,
      duration_p50_ms: milliseconds,
      duration_p95_ms: milliseconds,
      first_token_p50_ms: milliseconds,
      first_token_p95_ms: milliseconds,
    }),
  ),
);

export const callsJson = v.array(
  named(
    "Call",
    v.strictObject({
      id: v.string(),
      call_id: v.pipe(v.nullable(v.string()), v.description("Of a further attempt: the call it belongs to")),
      key_id: v.string(),
      key_name: v.nullable(v.string()),
      team: v.nullable(v.string()),
      dialect: v.string(),
      model: v.pipe(v.string(), v.description("The one that was invoked")),
      model_requested: v.string(),
      region: v.string(),
      stream: v.boolean(),
      status: v.picklist(CALL_STATES),
      http_status: v.nullable(integer),
      error_code: v.nullable(v.string()),
      started_at: iso,
      finished_at: v.nullable(iso),
      duration_ms: milliseconds,
      first_token_ms: milliseconds,
      input_tokens: integer,
      output_tokens: integer,
      cache_read_tokens: integer,
      cache_write_tokens: integer,
      reasoning_tokens: v.nullable(integer),
      cost_usd: v.nullable(usd),
      reserved_usd: v.pipe(v.nullable(usd), v.description("What a running call may cost at most")),
      estimated: v.boolean(),
      service_tier: v.nullable(v.string()),
      bedrock_request_id: v.nullable(v.string()),
    }),
  ),
);

export const budgetsJson = v.array(
  named(
    "Budget",
    v.strictObject({
      kind: v.picklist(["key", "team"]),
      id: v.pipe(v.string(), v.description("The key's id, or the team's name")),
      name: v.string(),
      period: v.picklist(BUDGET_PERIODS),
      budget_usd: v.nullable(usd),
      soft_budget_usd: v.nullable(usd),
      spent_usd: usd,
      reserved_usd: usd,
      resets_at: v.nullable(iso),
    }),
  ),
);

export const statusJson = v.strictObject({ status: v.string(), reason: v.exactOptional(v.string()) });

function named<Schema extends v.GenericSchema>(ref: string, schema: Schema) {
  return v.pipe(schema, v.metadata({ ref }));
}
