/**
 * Answers that requests refer to, for as long as the operator keeps them.
 *
 * What an answer goes on from is found by its id, one after the other, within one statement. It is no foreign key: an answer
 * may go before those that go on from it, which end its conversation.
 */
import { integer } from "./columns.ts";
import type { Database } from "./database.ts";
import { type AnswerStore, CONVERSATION_LIMITS } from "./store.ts";

/** Rows of one INSERT, and ids of one SELECT: PostgreSQL takes 65,535 parameters, SQLite 32,766. */
const ROWS_AT_ONCE = 500;

export function createAnswers(database: Database): AnswerStore {
  const { query } = database;

  return {
    put: ({ id, keyId, previous, items, answer, createdAt, expiresAt }) =>
      database.write(async (transaction) => {
        const bytes = items.reduce((sum, { json }) => sum + Buffer.byteLength(json), 0);
        await transaction
          .insertInto("answers")
          .values({
            id,
            key_id: keyId,
            previous: previous ?? null,
            bytes,
            created_at: createdAt,
            expires_at: expiresAt,
            answer,
          })
          .execute();
        const rows = items.map((item, position) => ({
          answer_id: id,
          position,
          item_id: item.id ?? null,
          item: item.json,
        }));
        for (const some of chunks(rows)) await transaction.insertInto("answer_items").values(some).execute();
      }),

    async get(keyId, id, now) {
      const row = await query
        .selectFrom("answers")
        .select("answer")
        .where("id", "=", id)
        .where("key_id", "=", keyId)
        .where("expires_at", ">", BigInt(now))
        .executeTakeFirst();
      return row?.answer;
    },

    async remove(keyId, id, now) {
      const removed = await query
        .deleteFrom("answers")
        .where("id", "=", id)
        .where("key_id", "=", keyId)
        .where("expires_at", ">", BigInt(now))
        .returning("id")
        .execute();
      return removed.length > 0;
    },

    async conversation(keyId, id, now) {
      const { answers, bytes } = CONVERSATION_LIMITS;
      const rows = await query
        .withRecursive("chain(id, previous, depth, bytes)", (chain) =>
          chain
            .selectFrom("answers")
            .select((select) => ["id", "previous", select.cast<bigint>(select.lit(1), "bigint").as("depth"), "bytes"])
            .where("id", "=", id)
            .where("key_id", "=", keyId)
            .where("expires_at", ">", BigInt(now))
            .unionAll(
              chain
                .selectFrom("chain")
                .innerJoin("answers", "answers.id", "chain.previous")
                .select((select) => [
                  "answers.id",
                  "answers.previous",
                  select("chain.depth", "+", 1n).as("depth"),
                  select("chain.bytes", "+", select.ref("answers.bytes")).as("bytes"),
                ])
                .where("answers.key_id", "=", keyId)
                .where("answers.expires_at", ">", BigInt(now))
                // One beyond the limit, to be seen.
                .where("chain.depth", "<=", BigInt(answers))
                .where("chain.bytes", "<=", BigInt(bytes)),
            ),
        )
        .selectFrom("chain")
        .leftJoin("answer_items", (join) =>
          join
            .onRef("answer_items.answer_id", "=", "chain.id")
            .on("chain.depth", "<=", BigInt(answers))
            .on("chain.bytes", "<=", BigInt(bytes)),
        )
        .select(["chain.previous", "chain.depth", "chain.bytes", "answer_items.position", "answer_items.item"])
        .execute();
      // SQLite would carry the items themselves through its sorting.
      rows.sort((a, b) => Number(b.depth - a.depth || (a.position ?? 0n) - (b.position ?? 0n)));
      const [oldest] = rows;
      if (oldest === undefined) return "absent";
      if (integer(oldest.depth) > answers || integer(oldest.bytes) > bytes) return "too_large";
      if (oldest.previous !== null) return "absent";
      return rows.flatMap(({ item }) => item ?? []);
    },

    async items(keyId, ids, now) {
      const found = new Map<string, string>();
      for (const some of chunks([...new Set(ids)])) {
        const rows = await query
          .selectFrom("answer_items")
          .innerJoin("answers", "answers.id", "answer_items.answer_id")
          .select(["answer_items.item_id", "answer_items.item"])
          .where("answer_items.item_id", "in", some)
          .where("answers.key_id", "=", keyId)
          .where("answers.expires_at", ">", BigInt(now))
          .orderBy("answers.created_at")
          .orderBy("answers.id")
          .execute();
        for (const { item_id, item } of rows) if (item_id !== null) found.set(item_id, item);
      }
      return found;
    },

    async prune(now, limit) {
      const removed = await query
        .deleteFrom("answers")
        .where("id", "in", (select) =>
          select
            .selectFrom("answers")
            .select("id")
            .where("expires_at", "<=", BigInt(now))
            .orderBy("expires_at")
            .limit(limit),
        )
        .returning("id")
        .execute();
      return removed.length;
    },
  };
}

function* chunks<T>(rows: readonly T[]): Iterable<T[]> {
  for (let start = 0; start < rows.length; start += ROWS_AT_ONCE) yield rows.slice(start, start + ROWS_AT_ONCE);
}
