/**
 * What Embeddings answers look like: https://platform.openai.com/docs/api-reference/embeddings/object. Requests have no type:
 * they are outside data and are read field by field.
 */

export interface EmbeddingList {
  object: "list";
  data: EmbeddingObject[];
  model: string;
  usage: { prompt_tokens: number; total_tokens: number };
}

export interface EmbeddingObject {
  object: "embedding";
  index: number;
  /** Numbers, or their 32-bit floats, the lowest byte first, as base64. */
  embedding: readonly number[] | string;
}
