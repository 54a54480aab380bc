/**
 * Vectors as OpenAI's list of embeddings: https://platform.openai.com/docs/api-reference/embeddings/object.
 *
 * Numbers are those that Bedrock gave. OpenAI's SDKs ask for base64 unless they are told otherwise, and decode it without a
 * look at what came.
 */
import type { Encoding } from "./request.ts";
import type { EmbeddingList } from "./types.ts";

export function embeddingList(
  vectors: readonly (readonly number[])[],
  { model, encoding, inputTokens }: { model: string; encoding: Encoding; inputTokens: number },
): EmbeddingList {
  return {
    object: "list",
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: encoding === "base64" ? base64Floats(vector) : vector,
    })),
    model,
    usage: { prompt_tokens: inputTokens, total_tokens: inputTokens },
  };
}

/** 32-bit floats, the lowest byte first whatever this machine does. */
export function base64Floats(vector: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4);
  for (const [index, part] of vector.entries()) bytes.writeFloatLE(part, index * 4);
  return bytes.toString("base64");
}
