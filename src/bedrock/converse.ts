/**
 * Converse, the hub: the part of Bedrock's request and answer shapes that the gateway sends and reads.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and ConverseStream. Unions are
 * closed and have exactly one key, as AWS's service model wants; bytes are base64 text, as on the wire.
 */
import type { JsonObject, JsonValue } from "../json.ts";

export interface ConverseRequest {
  messages: Message[];
  system?: SystemBlock[];
  inferenceConfig?: InferenceConfig;
  toolConfig?: ToolConfig;
  additionalModelRequestFields?: JsonObject;
  additionalModelResponseFieldPaths?: string[];
  requestMetadata?: Record<string, string>;
  outputConfig?: OutputConfig;
  serviceTier?: { type: string };
  performanceConfig?: { latency: "standard" | "optimized" };
  guardrailConfig?: GuardrailConfig;
}

export interface Message {
  role: "user" | "assistant";
  content: ContentBlock[];
}

export interface CachePoint {
  type: "default";
  ttl?: "5m" | "1h";
}

export type SystemBlock = { text: string } | { cachePoint: CachePoint };

export type ContentBlock =
  | { text: string }
  | { image: ImageBlock }
  | { document: DocumentBlock }
  | { searchResult: SearchResultBlock }
  | { video: MediaBlock }
  | { audio: MediaBlock }
  | { toolUse: ToolUseBlock }
  | { toolResult: ToolResultBlock }
  | { reasoningContent: ReasoningBlock }
  | { cachePoint: CachePoint };

export type Source = { bytes: string } | { s3Location: { uri: string; bucketOwner?: string } };

export interface ImageBlock {
  format: "png" | "jpeg" | "gif" | "webp";
  source: Source;
}

export interface DocumentBlock {
  format: "pdf" | "csv" | "doc" | "docx" | "xls" | "xlsx" | "html" | "txt" | "md";
  /** 1 to 200 of letters, digits, single spaces, `-()[]`; unique within a request. */
  name: string;
  source: Source | { content: { text: string }[] };
  /** What the document is, in the client's words. */
  context?: string;
  citations?: { enabled: boolean };
}

/** Something found by the client, to be cited by its source. */
export interface SearchResultBlock {
  source: string;
  title: string;
  content: { text: string }[];
  citations?: { enabled: boolean };
}

export interface MediaBlock {
  format: string;
  source: Source;
}

export interface ToolUseBlock {
  /** `[a-zA-Z0-9_.:-]{1,64}` */
  toolUseId: string;
  name: string;
  input: JsonObject;
}

export interface ToolResultBlock {
  toolUseId: string;
  content: ToolResultContent[];
  status?: "success" | "error";
}

export type ToolResultContent =
  | { text: string }
  | { json: JsonObject }
  | { image: ImageBlock }
  | { document: DocumentBlock }
  | { searchResult: SearchResultBlock }
  | { video: MediaBlock };

export type ReasoningBlock = { reasoningText: { text: string; signature?: string } } | { redactedContent: string };

export interface InferenceConfig {
  maxTokens?: number;
  temperature?: number;
  topP?: number;
  stopSequences?: string[];
}

export interface ToolConfig {
  tools: Tool[];
  toolChoice?: ToolChoice;
}

export type Tool = { toolSpec: ToolSpec } | { cachePoint: CachePoint };

export interface ToolSpec {
  /** `[a-zA-Z0-9_-]{1,64}` */
  name: string;
  description?: string;
  inputSchema: { json: JsonObject };
  strict?: boolean;
}

export type ToolChoice = { auto: Record<string, never> } | { any: Record<string, never> } | { tool: { name: string } };

export interface OutputConfig {
  textFormat?: {
    type: "json_schema";
    structure: { jsonSchema: { schema: string; name?: string; description?: string } };
  };
  effort?: string;
}

export interface GuardrailConfig {
  guardrailIdentifier: string;
  /** `DRAFT` or a number. */
  guardrailVersion: string;
  trace?: "enabled" | "disabled" | "enabled_full";
  /** ConverseStream only. */
  streamProcessingMode?: "sync" | "async";
}

/** An answer. Enums are open: Bedrock adds members without notice. */
export interface ConverseResponse {
  output: { message: { role: string; content: AnswerBlock[] } };
  stopReason: string;
  usage: TokenUsage;
  metrics?: { latencyMs?: number };
  additionalModelResponseFields?: JsonValue;
  serviceTier?: { type?: string };
  performanceConfig?: { latency?: string };
  trace?: JsonValue;
}

/** A block of an answer: what we know, and room for kinds that Bedrock adds. */
export interface AnswerBlock {
  text?: string;
  toolUse?: { toolUseId: string; name: string; input: JsonValue };
  reasoningContent?: { reasoningText?: { text?: string; signature?: string }; redactedContent?: string };
  citationsContent?: { content?: { text?: string }[]; citations?: JsonValue[] };
  image?: ImageBlock;
}

/** Tokens as Bedrock counts them: `inputTokens` excludes what was read from or written to the prompt cache. */
export interface TokenUsage {
  inputTokens: number;
  outputTokens: number;
  totalTokens?: number;
  cacheReadInputTokens?: number;
  cacheWriteInputTokens?: number;
  cacheDetails?: { ttl: string; inputTokens: number }[];
}

/** One event of ConverseStream, tagged. `unknown` is an event type that this gateway does not know: skipped. */
export type ConverseEvent =
  | { type: "messageStart"; role: string }
  | { type: "contentBlockStart"; index: number; start: BlockStart }
  | { type: "contentBlockDelta"; index: number; delta: BlockDelta }
  | { type: "contentBlockStop"; index: number }
  | { type: "messageStop"; stopReason: string; additionalModelResponseFields?: JsonValue }
  | {
      type: "metadata";
      usage: TokenUsage;
      latencyMs?: number;
      serviceTier?: string;
      performance?: string;
      trace?: JsonValue;
    }
  | { type: "unknown"; eventType: string };

export interface BlockStart {
  toolUse?: { toolUseId: string; name: string };
}

export interface BlockDelta {
  text?: string;
  toolUse?: { input?: string };
  reasoningContent?: { text?: string; signature?: string; redactedContent?: string };
  citation?: JsonValue;
}
