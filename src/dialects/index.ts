/** The registry: every client API that the gateway speaks. A new dialect is a folder and a line here. */
import { anthropicMessages } from "./anthropic-messages/index.ts";
import type { Dialect } from "./dialect.ts";
import type { EmbeddingsDialect } from "./embeddings-dialect.ts";
import { openaiChat } from "./openai-chat/index.ts";
import { openaiCompletions } from "./openai-completions/index.ts";
import { openaiEmbeddings } from "./openai-embeddings/index.ts";
import { openaiResponses } from "./openai-responses/index.ts";

export const dialects = [
  openaiChat,
  openaiResponses,
  anthropicMessages,
  openaiCompletions,
] as const satisfies readonly Dialect[];

export const embeddingsDialects = [openaiEmbeddings] as const satisfies readonly EmbeddingsDialect[];
