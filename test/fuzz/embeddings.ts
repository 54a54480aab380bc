/**
 * Fuzzing embeddings: requests and Bedrock's answers, mutated.
 *
 * Whatever the body, it becomes calls that hold every input once, or an error that is the client's own. Whatever comes back,
 * a vector is a list of finite numbers, or the answer is refused as Bedrock's fault.
 */
import assert from "node:assert/strict";
import { openaiEmbeddings } from "../../src/dialects/openai-embeddings/index.ts";
import { GatewayError } from "../../src/errors.ts";
import { parseJson, stringifyJson } from "../../src/json.ts";
import { EMBEDDING_TABLE } from "../../src/models/embedding-table.ts";
import { type EmbeddingBatch, planEmbeddings } from "../../src/models/embeddings.ts";
import { anything, corpusOf, mutate } from "./mutate.ts";
import { type Random, seeded } from "./random.ts";

const IMAGE = "data:image/png;base64,iVBORw0KGgo=";
const BODIES: unknown[] = [
  { model: "m", input: "a" },
  { model: "m", input: ["a", "b", IMAGE], dimensions: 256, encoding_format: "base64", user: "u" },
  { model: "m", input: Array(100).fill("a"), input_type: "search_query", dimensions: null },
  { model: "m", input: [1, 2] },
  { model: "m", input: [[1], [2]], encoding_format: "float" },
];
const ANSWERS: unknown[] = [
  { embedding: [0.5, -1], embeddingsByType: { float: [0.5, -1] }, inputTextTokenCount: 9 },
  { embeddings: [[0.5, -1]], texts: ["a"] },
  { embeddings: { float: [[0.5, -1]] }, texts: ["a"] },
  { embeddings: [{ embeddingType: "TEXT", embedding: [0.5, -1] }] },
  { data: [{ embedding: [0.5, -1] }] },
];
const CORPUS = corpusOf([...BODIES, ...ANSWERS]);

/** One request and one answer, made from the seed. Throws when a promise is not kept. */
export function fuzzEmbeddings(seed: number): void {
  const random = seeded(seed);
  const body = random.chance(0.05) ? anything(CORPUS, random) : mutate(random.pick(BODIES), CORPUS, random);
  const text = JSON.stringify(body) ?? "null";
  const batches = refusedOr("client", () => {
    const { request } = openaiEmbeddings.decode(parseJson(text));
    const planned = planEmbeddings(request, random.pick(EMBEDDING_TABLE).ids[0] ?? "");
    const indexes = planned.flatMap((batch) => batch.indexes).sort((a, b) => a - b);
    assert.deepEqual(
      indexes,
      request.inputs.map((_, index) => index),
      "not every input once",
    );
    for (const batch of planned) JSON.parse(batch.body.toString());
    return planned;
  });
  if (batches !== undefined) fuzzAnswer(random.pick(batches), random);
}

function fuzzAnswer(batch: EmbeddingBatch, random: Random): void {
  const answer = JSON.stringify(mutate(random.pick(ANSWERS), CORPUS, random)) ?? "null";
  const header = (): string | undefined => random.pick([undefined, "7", "x", "-1"]);
  const embedded = refusedOr("bedrock", () => batch.read(answer, header));
  if (embedded === undefined) return;
  assert.equal(embedded.vectors.length, batch.indexes.length);
  assert.ok(embedded.vectors.flat().every(Number.isFinite));
  assert.ok(embedded.inputTokens === undefined || Number.isSafeInteger(embedded.inputTokens));
}

/** Undefined when it was refused as it should be. */
function refusedOr<T>(fault: "client" | "bedrock", work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
    assert.equal(error.kind.fault, fault, error.message);
    assert.ok(stringifyJson(openaiEmbeddings.errorBody(error)).length < 2_000);
    return undefined;
  }
}
