/** The ledger in SQLite: one row a call, opened before it is forwarded and closed with its usage. */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { bigintOrNull, integer, integerOrNull, type Row, text, textOrNull } from "./sqlite-row.ts";
import type { Call, CallClosing, CallStatus, CallStore, UsageGrouping, UsageTotals } from "./store.ts";
import type { WriteQueue } from "./write-queue.ts";

const GROUPS: Readonly<Record<UsageGrouping, string>> = {
  key: "c.key_id",
  team: "c.team",
  model: "c.model_invoked",
  day: "strftime('%Y-%m-%d', c.started_at / 1000, 'unixepoch')",
};

const HAS_TOKENS = "c.input_tokens + c.output_tokens + c.cache_read_tokens + c.cache_write_tokens > 0";

/** A sum of pico-dollars leaves 64 bits at 9 million USD, so micro-dollars and what is left of them are added up apart. */
const MICRO = 1_000_000n;

export function createSqliteCalls(db: DatabaseSync, writes: WriteQueue): CallStore {
  // The team is the key's at this moment: moving a key later does not move what its old team has spent.
  const insert = db.prepare(
    `INSERT INTO calls (id, key_id, team, dialect, model_requested, model_invoked, region, stream, started_at,
       call_id)
     VALUES (?1, ?2, (SELECT team FROM keys WHERE id = ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9)`,
  );
  const finish = db.prepare(
    `UPDATE calls SET status = ?, http_status = ?, error_code = ?, input_tokens = ?, output_tokens = ?,
       cache_read_tokens = ?, cache_write_tokens = ?, cache_write_1h_tokens = ?, estimated = ?, finished_at = ?,
       first_token_at = ?, bedrock_request_id = ?, cost = ?, service_tier = ?
     WHERE id = ? AND status IS NULL`,
  );
  const select = db.prepare("SELECT * FROM calls WHERE id = ?");
  const totals = {
    key: db.prepare(totalsSql("key")),
    team: db.prepare(totalsSql("team")),
    model: db.prepare(totalsSql("model")),
    day: db.prepare(totalsSql("day")),
  };
  for (const statement of [select, ...Object.values(totals)]) statement.setReadBigInts(true);

  return {
    async open(call) {
      await writes.run(() =>
        insert.run(
          call.id,
          call.keyId,
          call.dialect,
          call.modelRequested,
          call.modelInvoked,
          call.region,
          Number(call.stream),
          call.startedAt,
          call.callId ?? null,
        ),
      );
    },
    async close(id, closing) {
      await writes.run(() => {
        const { changes } = finish.run(...closingColumns(closing), id);
        if (changes === 0 && select.get(id) === undefined) throw new Error(`call ${id} was closed but never opened`);
      });
    },
    get: async (id) => callOrNone(select.get(id)),
    totals: async ({ by, from, to }) => totals[by].all(from ?? 0, to ?? Number.MAX_SAFE_INTEGER).map(toTotals),
  };
}

function closingColumns(closing: CallClosing): (string | number | bigint | null)[] {
  const { usage } = closing;
  return [
    closing.status,
    closing.httpStatus,
    closing.errorCode ?? null,
    usage.inputTokens,
    usage.outputTokens,
    usage.cacheReadTokens,
    usage.cacheWriteTokens,
    usage.cacheWrite1hTokens ?? 0,
    Number(closing.estimated),
    closing.finishedAt,
    closing.firstTokenAt ?? null,
    closing.bedrockRequestId ?? null,
    closing.cost ?? null,
    closing.serviceTier ?? null,
  ];
}

function totalsSql(by: UsageGrouping): string {
  return `
    SELECT g.*, k.name FROM (
      SELECT ${GROUPS[by]} AS grp,
        count(*) FILTER (WHERE c.call_id IS NULL) AS requests,
        sum(c.input_tokens) AS input_tokens,
        sum(c.output_tokens) AS output_tokens,
        sum(c.cache_read_tokens) AS cache_read_tokens,
        sum(c.cache_write_tokens) AS cache_write_tokens,
        sum(c.cache_write_1h_tokens) AS cache_write_1h_tokens,
        count(DISTINCT iif(c.estimated, coalesce(c.call_id, c.id), NULL)) AS estimated_requests,
        count(DISTINCT iif(${HAS_TOKENS} AND c.cost IS NULL, coalesce(c.call_id, c.id), NULL)) AS unpriced_requests,
        count(*) FILTER (WHERE ${HAS_TOKENS} AND c.cost IS NOT NULL) AS priced_rows,
        sum(c.cost / ${MICRO}) AS cost_micro,
        sum(c.cost % ${MICRO}) AS cost_rest
      FROM calls c
      WHERE c.started_at >= ? AND c.started_at < ?
      GROUP BY grp
    ) g
    LEFT JOIN keys k ON k.id = ${by === "key" ? "g.grp" : "NULL"}
    ORDER BY k.name, g.grp NULLS LAST`;
}

function toCost(row: Row): bigint | null {
  const micro = bigintOrNull(row, "cost_micro");
  const unpriced = integer(row, "unpriced_requests") > 0 && integer(row, "priced_rows") === 0;
  return micro === null || unpriced ? null : micro * MICRO + (bigintOrNull(row, "cost_rest") ?? 0n);
}

function toTotals(row: Row): UsageTotals {
  return {
    group: textOrNull(row, "grp"),
    name: textOrNull(row, "name"),
    requests: integer(row, "requests"),
    inputTokens: integer(row, "input_tokens"),
    outputTokens: integer(row, "output_tokens"),
    cacheReadTokens: integer(row, "cache_read_tokens"),
    cacheWriteTokens: integer(row, "cache_write_tokens"),
    cacheWrite1hTokens: integer(row, "cache_write_1h_tokens"),
    estimatedRequests: integer(row, "estimated_requests"),
    cost: toCost(row),
    unpricedRequests: integer(row, "unpriced_requests"),
  };
}

function callOrNone(row: Record<string, SQLOutputValue> | undefined): Call | undefined {
  if (row === undefined) return undefined;
  const callId = textOrNull(row, "call_id");
  return {
    id: text(row, "id"),
    ...(callId !== null && { callId }),
    keyId: text(row, "key_id"),
    team: textOrNull(row, "team"),
    dialect: text(row, "dialect"),
    modelRequested: text(row, "model_requested"),
    modelInvoked: text(row, "model_invoked"),
    region: text(row, "region"),
    stream: integer(row, "stream") === 1,
    startedAt: integer(row, "started_at"),
    closing: row.status === null ? undefined : toClosing(row),
  };
}

function toClosing(row: Row): CallClosing {
  const errorCode = textOrNull(row, "error_code");
  const firstTokenAt = integerOrNull(row, "first_token_at");
  const bedrockRequestId = textOrNull(row, "bedrock_request_id");
  const cost = bigintOrNull(row, "cost");
  const serviceTier = textOrNull(row, "service_tier");
  return {
    status: toStatus(text(row, "status")),
    httpStatus: integer(row, "http_status"),
    ...(errorCode !== null && { errorCode }),
    usage: {
      inputTokens: integer(row, "input_tokens"),
      outputTokens: integer(row, "output_tokens"),
      cacheReadTokens: integer(row, "cache_read_tokens"),
      cacheWriteTokens: integer(row, "cache_write_tokens"),
      cacheWrite1hTokens: integer(row, "cache_write_1h_tokens"),
    },
    estimated: integer(row, "estimated") === 1,
    finishedAt: integer(row, "finished_at"),
    ...(firstTokenAt !== null && { firstTokenAt }),
    ...(bedrockRequestId !== null && { bedrockRequestId }),
    ...(cost !== null && { cost }),
    ...(serviceTier !== null && { serviceTier }),
  };
}

function toStatus(status: string): CallStatus {
  if (status === "ok" || status === "error" || status === "interrupted") return status;
  throw new Error(`column status of the database holds ${JSON.stringify(status)}`);
}
