/**
 * Stored answers, where the operator allows them: what a request refers to is looked up before it is decoded, and a
 * complete answer is stored before its last byte goes out. Each key has its own.
 */
import type { AnswerToStore, StoredAnswers, StoredReferences } from "../dialects/dialect.ts";
import { GatewayError } from "../errors.ts";
import { isJsonObject, parseJson, stringifyJson } from "../json.ts";
import { type AnswerStore, CONVERSATION_LIMITS } from "../store/store.ts";
import { LATE, within } from "../usage/within.ts";

export interface AnswerArchive {
  /** Throws GatewayError when it can't be read, or is more than a request may have. */
  find(keyId: string, references: StoredReferences): Promise<StoredAnswers>;
  /** Rejects when the answer is not stored, or not in time. */
  keep(keyId: string, answer: AnswerToStore): Promise<void>;
  /** The answer as the client got it. Throws GatewayError, also when there is none. */
  get(keyId: string, id: string): Promise<unknown>;
  /** Throws GatewayError, also when there is none. */
  remove(keyId: string, id: string): Promise<void>;
}

export interface AnswerArchiveOptions {
  readonly store: AnswerStore;
  /** How long answers are kept, in milliseconds. */
  readonly keepMs: number;
  readonly now: () => number;
}

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** The client waits for it. */
const KEEP_MS = 1_000;
/** Below Envoy's message_timeout. */
const READ_MS = 5_000;

export function createAnswerArchive({ store, keepMs, now }: AnswerArchiveOptions): AnswerArchive {
  async function findConversation(keyId: string, id: string) {
    if (!isId(id)) return undefined;
    const found = await read(store.conversation(keyId, id, now()));
    if (found === "too_large") throw tooLarge();
    return found === "absent" ? undefined : found;
  }

  return {
    async find(keyId, { response, items: ids }) {
      const known = ids.filter(isId);
      const [conversation, items] = await Promise.all([
        response === undefined ? undefined : findConversation(keyId, response),
        known.length === 0 ? new Map<string, string>() : read(store.items(keyId, known, now())),
      ]);
      // An item counts as often as it is named.
      const texts = [...(conversation ?? []), ...known.flatMap((id) => items.get(id) ?? [])];
      if (texts.reduce((sum, text) => sum + text.length, 0) > CONVERSATION_LIMITS.bytes) throw tooLarge();
      return {
        ...(conversation !== undefined && { conversation: parseAll(conversation) }),
        items: new Map([...items].map(([id, text]) => [id, parseAll([text])[0]])),
      };
    },

    async keep(keyId, { id, previous, items, answer }) {
      const createdAt = now();
      let left = MAX_ANSWER_BYTES;
      const write = (value: unknown) => {
        const json = stringifyJson(value);
        left -= Buffer.byteLength(json);
        if (left < 0)
          throw new Error(`answers that have, with their input, over ${MAX_ANSWER_BYTES} bytes are not stored`);
        return json;
      };
      const put = store.put({
        id,
        keyId,
        previous,
        items: items.map((item) => ({
          id: isJsonObject(item) && isId(item.id) ? item.id : undefined,
          json: write(item),
        })),
        answer: write(answer),
        createdAt,
        expiresAt: createdAt + keepMs,
      });
      if ((await within(put, KEEP_MS)) === LATE) {
        throw new Error(`an answer was not stored within ${KEEP_MS} ms`);
      }
    },

    async get(keyId, id) {
      const found = isId(id) ? await read(store.get(keyId, id, now())) : undefined;
      if (found === undefined) throw notFound(id);
      return parseJson(found);
    },

    async remove(keyId, id) {
      if (!isId(id) || !(await read(store.remove(keyId, id, now())))) throw notFound(id);
    },
  };
}

/** What the gateway and other servers make; anything else nobody refers to, and a database may not take it. */
function isId(id: unknown): id is string {
  return typeof id === "string" && /^[\x21-\x7e]{1,256}$/.test(id);
}

async function read<T>(reading: Promise<T>): Promise<T> {
  const found = await within(reading, READ_MS).catch((cause: unknown) => {
    throw unavailable(cause);
  });
  if (found === LATE) throw unavailable(new Error(`the database has not answered within ${READ_MS} ms`));
  return found;
}

function unavailable(cause: unknown): GatewayError {
  return new GatewayError("unavailable", "The stored answers can't be reached. Try again in a moment.", { cause });
}

/** At once, so that many small values count together. */
function parseAll(texts: readonly string[]): unknown[] {
  try {
    const values = parseJson(`[${texts.join(",")}]`);
    return Array.isArray(values) ? values : [];
  } catch (cause) {
    throw tooLarge(cause);
  }
}

function tooLarge(cause?: unknown): GatewayError {
  const { answers, bytes } = CONVERSATION_LIMITS;
  return new GatewayError(
    "request_too_large",
    `What is stored of the conversation is more than ${answers} answers or ${bytes} bytes. Begin a new one.`,
    { cause },
  );
}

function notFound(id: string): GatewayError {
  const shown = id.replace(/[^\x20-\x7e]/g, "?").slice(0, 100);
  return new GatewayError(
    "invalid_request",
    `Response with id '${shown}' not found: it has never been stored for this key, was deleted, or has expired.`,
    { status: 404 },
  );
}

export function notStoring(): GatewayError {
  return new GatewayError(
    "invalid_request",
    "No responses are stored here: the gateway's operator has not turned it on (responses.store).",
    { status: 404 },
  );
}
