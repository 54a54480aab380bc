/** OpenAI Embeddings: https://platform.openai.com/docs/api-reference/embeddings. Left out: inputs of token ids. */
import type { EmbeddingsDialect } from "../embeddings-dialect.ts";
import { openAiErrorBody } from "../openai-errors.ts";
import { embeddingList } from "./reply.ts";
import { readRequest } from "./request.ts";

export const openaiEmbeddings: EmbeddingsDialect = {
  name: "openai-embeddings",
  paths: ["/embeddings"],
  decode(body) {
    const { encoding, ...call } = readRequest(body);
    const { model } = call;
    return { ...call, reply: (vectors, inputTokens) => embeddingList(vectors, { model, encoding, inputTokens }) };
  },
  errorBody: openAiErrorBody,
};
