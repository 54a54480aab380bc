/**
 * The schema, as the ordered steps that lead to it, in SQLite's spelling.
 *
 * In SQLite `PRAGMA user_version` holds how many steps a database has taken, in PostgreSQL a table (postgres-migrate.ts). A
 * step that was released is never edited: a change is a new step at the end. All missing steps run in one transaction that
 * locks out other writers first, so two processes may start at once and a step that fails leaves nothing behind.
 */
import type { DatabaseSync } from "node:sqlite";

/** Marks the file as ours (`PRAGMA application_id`), "BdGw". */
export const APPLICATION_ID = 0x42644777;

// What the calls before there were totals add up to, as the ledger counts from then on: whether a request was estimated or
// unpriced counts once, with the first of its rows that was.
const hasTokens = (row: string) =>
  `${row}.input_tokens + ${row}.output_tokens + ${row}.cache_read_tokens + ${row}.cache_write_tokens > 0`;
const isUnpriced = (row: string) => `${row}.cost IS NULL AND ${hasTokens(row)}`;
const isEstimated = (row: string) => `${row}.estimated = 1`;
const isFirst = (condition: (row: string) => string) => `
  CASE WHEN ${condition("c")} AND NOT EXISTS (
    SELECT 1 FROM calls AS other
    WHERE (other.id = coalesce(c.call_id, c.id) OR other.call_id = coalesce(c.call_id, c.id))
      AND other.status IS NOT NULL AND ${condition("other")}
      AND (other.started_at < c.started_at OR (other.started_at = c.started_at AND other.id < c.id))
  ) THEN 1 ELSE 0 END`;
const TOTALS_SO_FAR = `
  INSERT INTO usage_hours
  SELECT started_at - started_at % 3600000, key_id, coalesce(team, ''), model_invoked,
    count(*) FILTER (WHERE call_id IS NULL),
    count(*) FILTER (WHERE call_id IS NULL AND status = 'error'),
    count(*) FILTER (WHERE call_id IS NULL AND status = 'interrupted'),
    sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(cache_write_1h_tokens),
    sum(coalesce(reasoning_tokens, 0)), sum(first_estimated), sum(first_unpriced), sum(priced),
    coalesce(sum(cost / 1000000), 0), coalesce(sum(cost % 1000000), 0)
  FROM (
    SELECT c.*, ${isFirst(isEstimated)} AS first_estimated, ${isFirst(isUnpriced)} AS first_unpriced,
      CASE WHEN c.cost IS NOT NULL AND ${hasTokens("c")} THEN 1 ELSE 0 END AS priced
    FROM calls AS c WHERE c.status IS NOT NULL
  ) AS closed
  GROUP BY 1, 2, 3, 4;
`;

// The month of a day by arithmetic that both databases have: years from March on, in eras of 400 years
// (https://howardhinnant.github.io/date_algorithms.html#civil_from_days).
const SPENT_SO_FAR = `
  INSERT INTO spend
  SELECT subject, max(newest_day),
    coalesce(sum(micro) FILTER (WHERE day = newest_day), 0), coalesce(sum(rest) FILTER (WHERE day = newest_day), 0),
    max(newest_month),
    coalesce(sum(micro) FILTER (WHERE month = newest_month), 0),
    coalesce(sum(rest) FILTER (WHERE month = newest_month), 0),
    sum(micro), sum(rest), 0, 0
  FROM (
    SELECT subject, micro, rest, day, month, max(day) OVER (PARTITION BY subject) AS newest_day,
      max(month) OVER (PARTITION BY subject) AS newest_month
    FROM (
      SELECT subject, micro, rest, day,
        (era * 400 + year) * 12 + (5 * (doe - 365 * year - year / 4 + year / 100) + 2) / 153 - 23638 AS month
      FROM (
        SELECT *, (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365 AS year
        FROM (
          SELECT *, (day + 719468) / 146097 AS era, (day + 719468) % 146097 AS doe
          FROM (
            SELECT 'key:' || key_id AS subject, hour / 86400000 AS day, sum(cost_micro) AS micro, sum(cost_rest) AS rest
            FROM usage_hours WHERE cost_micro <> 0 OR cost_rest <> 0 GROUP BY 1, 2
            UNION ALL
            SELECT 'team:' || team, hour / 86400000, sum(cost_micro), sum(cost_rest)
            FROM usage_hours WHERE team <> '' AND (cost_micro <> 0 OR cost_rest <> 0) GROUP BY 1, 2
          ) AS charged
        ) AS days
      ) AS years
    ) AS months
  ) AS newest
  GROUP BY subject;
`;

// The secrets are rows of their own: during a rotation's grace a key has two. The ledger's only index beside its id is on
// the start, which grows at its end: cheap to write, and enough for a report's range.
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE keys (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    team          TEXT,
    models        TEXT NOT NULL,
    rpm           INTEGER,
    expires_at    INTEGER,
    created_at    INTEGER NOT NULL,
    revoked_at    INTEGER,
    last_used_at  INTEGER
  ) STRICT;
  CREATE INDEX keys_name ON keys (name);

  CREATE TABLE secrets (
    sha256        TEXT PRIMARY KEY,
    key_id        TEXT NOT NULL REFERENCES keys (id),
    prefix        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    replaced_at   INTEGER
  ) STRICT;
  CREATE INDEX secrets_key ON secrets (key_id);

  CREATE TABLE calls (
    id                     TEXT PRIMARY KEY,
    key_id                 TEXT NOT NULL REFERENCES keys (id),
    team                   TEXT,
    dialect                TEXT NOT NULL,
    model_requested        TEXT NOT NULL,
    model_invoked          TEXT NOT NULL,
    region                 TEXT NOT NULL,
    stream                 INTEGER NOT NULL,
    started_at             INTEGER NOT NULL,
    status                 TEXT CHECK (status IN ('ok', 'error', 'interrupted')),
    http_status            INTEGER,
    error_code             TEXT,
    input_tokens           INTEGER NOT NULL DEFAULT 0,
    output_tokens          INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens      INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens     INTEGER NOT NULL DEFAULT 0,
    cache_write_1h_tokens  INTEGER NOT NULL DEFAULT 0,
    estimated              INTEGER NOT NULL DEFAULT 0,
    finished_at            INTEGER,
    first_token_at         INTEGER,
    bedrock_request_id     TEXT
  ) STRICT;
  CREATE INDEX calls_started_at ON calls (started_at);
  `,
  // A further attempt of a call (another model or region, one of several choices) is a row that points to it.
  "ALTER TABLE calls ADD COLUMN call_id TEXT REFERENCES calls (id)",
  // Pico-dollars; NULL: not priced, as all calls that were closed before there were prices.
  `
  ALTER TABLE calls ADD COLUMN cost INTEGER;
  ALTER TABLE calls ADD COLUMN service_tier TEXT;
  `,
  // Teams, budgets, the audit; totals by the hour, which outlive the rows. Sums of money are micro-dollars and the
  // pico-dollars that are left of each addend, apart: one sum of pico-dollars would leave 64 bits at 9 million USD.
  // Of `spend` a row holds its subject's newest day and month (days and months since 1970) and all time.
  `
  ALTER TABLE keys ADD COLUMN owner TEXT;
  ALTER TABLE keys ADD COLUMN note TEXT;
  ALTER TABLE keys ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE keys ADD COLUMN tpm INTEGER;
  ALTER TABLE keys ADD COLUMN parallel INTEGER;
  ALTER TABLE keys ADD COLUMN budget INTEGER;
  ALTER TABLE keys ADD COLUMN soft_budget INTEGER;
  ALTER TABLE keys ADD COLUMN budget_period TEXT NOT NULL DEFAULT 'month';
  ALTER TABLE keys ADD COLUMN blocked_at INTEGER;
  ALTER TABLE keys ADD COLUMN created_by TEXT;

  CREATE TABLE teams (
    name           TEXT PRIMARY KEY,
    note           TEXT,
    rpm            INTEGER,
    tpm            INTEGER,
    parallel       INTEGER,
    budget         INTEGER,
    soft_budget    INTEGER,
    budget_period  TEXT NOT NULL,
    created_at     INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE audit (
    id       TEXT PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    changes  TEXT NOT NULL
  ) STRICT;
  CREATE INDEX audit_at ON audit (at);

  ALTER TABLE calls ADD COLUMN instance TEXT;
  ALTER TABLE calls ADD COLUMN foundation_model TEXT;
  ALTER TABLE calls ADD COLUMN input_estimate INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE calls ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE calls ADD COLUMN reasoning_tokens INTEGER;
  ALTER TABLE calls ADD COLUMN abandoned INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX calls_open ON calls (started_at) WHERE status IS NULL;
  CREATE INDEX calls_attempts ON calls (call_id) WHERE call_id IS NOT NULL;

  CREATE TABLE instances (
    id          TEXT PRIMARY KEY,
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE spend (
    subject         TEXT PRIMARY KEY,
    day             INTEGER NOT NULL,
    day_micro       INTEGER NOT NULL,
    day_rest        INTEGER NOT NULL,
    month           INTEGER NOT NULL,
    month_micro     INTEGER NOT NULL,
    month_rest      INTEGER NOT NULL,
    total_micro     INTEGER NOT NULL,
    total_rest      INTEGER NOT NULL,
    reserved_micro  INTEGER NOT NULL,
    reserved_rest   INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE usage_hours (
    hour                   INTEGER NOT NULL,
    key_id                 TEXT NOT NULL,
    team                   TEXT NOT NULL,
    model                  TEXT NOT NULL,
    requests               INTEGER NOT NULL,
    errors                 INTEGER NOT NULL,
    interrupted            INTEGER NOT NULL,
    input_tokens           INTEGER NOT NULL,
    output_tokens          INTEGER NOT NULL,
    cache_read_tokens      INTEGER NOT NULL,
    cache_write_tokens     INTEGER NOT NULL,
    cache_write_1h_tokens  INTEGER NOT NULL,
    reasoning_tokens       INTEGER NOT NULL,
    estimated_requests     INTEGER NOT NULL,
    unpriced_requests      INTEGER NOT NULL,
    priced_rows            INTEGER NOT NULL,
    cost_micro             INTEGER NOT NULL,
    cost_rest              INTEGER NOT NULL,
    PRIMARY KEY (hour, key_id, team, model)
  ) STRICT;

  ${TOTALS_SO_FAR}
  ${SPENT_SO_FAR}
  `,
  // Answers that clients refer to. What each has added to its conversation are rows of their own, in their order: requests
  // refer to them too. Both hold JSON.
  `
  CREATE TABLE answers (
    id          TEXT PRIMARY KEY,
    key_id      TEXT NOT NULL REFERENCES keys (id),
    previous    TEXT,
    bytes       INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    answer      TEXT NOT NULL
  ) STRICT;
  CREATE INDEX answers_expire ON answers (expires_at);

  CREATE TABLE answer_items (
    answer_id  TEXT NOT NULL REFERENCES answers (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    item_id    TEXT,
    item       TEXT NOT NULL,
    PRIMARY KEY (answer_id, position)
  ) STRICT;
  CREATE INDEX answer_items_id ON answer_items (item_id) WHERE item_id IS NOT NULL;
  `,
];

/** Brings a SQLite database to the newest step. Throws when another program or a newer gateway made it. */
export function migrate(db: DatabaseSync, migrations: readonly string[] = MIGRATIONS): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    const version = pragma(db, "user_version");
    assertOurs(db, version, migrations.length);
    for (const step of migrations.slice(version)) db.exec(step);
    if (version < migrations.length) {
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${migrations.length}`);
    }
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** A step as PostgreSQL has it: 64 bits have another name there, types are strict anyway, and texts are ordered by bytes. */
export function postgresStep(step: string): string {
  return step
    .replaceAll(/\bINTEGER\b/g, "BIGINT")
    .replaceAll(/\bTEXT\b/g, 'TEXT COLLATE "C"')
    .replaceAll(") STRICT", ")");
}

/** The tables that the steps make. */
export function tablesOf(migrations: readonly string[]): string[] {
  return migrations.flatMap((step) => [...step.matchAll(/\bCREATE TABLE (\w+)/g)].map(([, name]) => name ?? ""));
}

/** Throws when a newer gateway made the database. */
export function assertKnown(version: number, known: number): void {
  if (version > known) {
    throw new Error(
      `the database is from a newer version of the gateway (schema ${version}, this one knows ${known}); ` +
        "run that version, or restore a backup made before the upgrade",
    );
  }
}

function assertOurs(db: DatabaseSync, version: number, known: number): void {
  const tables = db.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.n;
  if (tables !== 0 && pragma(db, "application_id") !== APPLICATION_ID) {
    throw new Error("the file is another program's database; choose another path");
  }
  assertKnown(version, known);
}

function pragma(db: DatabaseSync, name: "user_version" | "application_id"): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}
