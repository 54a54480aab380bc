/**
 * The models that the simulated control plane lists: real ids, and one of every kind that a gateway has to tell apart.
 *
 * Kinds: on demand under the bare id, only through inference profiles, both, legacy, embeddings, not for chat at all.
 * The chat operations answer any model id, listed or not.
 */

export interface CatalogModel {
  readonly modelId: string;
  readonly modelName: string;
  readonly providerName: string;
  readonly inputModalities: readonly string[];
  readonly outputModalities: readonly string[];
  readonly responseStreamingSupported: boolean;
  /** Whether the bare id can be called; otherwise only its profiles can. */
  readonly onDemand: boolean;
  /** First segments of the ids of its inference profiles: `us` in `us.anthropic.…`. */
  readonly profiles: readonly string[];
  readonly status: "ACTIVE" | "LEGACY";
  readonly startOfLifeTime: string;
}

export interface ApplicationProfile {
  readonly id: string;
  readonly name: string;
  readonly modelId: string;
}

const TEXT = ["TEXT"];
const TEXT_AND_IMAGE = ["TEXT", "IMAGE"];
const CLAUDE_GEOGRAPHIES = ["us", "eu", "jp", "au", "global"];

export const CATALOG: readonly CatalogModel[] = [
  claude("anthropic.claude-opus-5-5", "Claude Opus 5.5", "2026-10-08"),
  claude("anthropic.claude-sonnet-5-5", "Claude Sonnet 5.5", "2026-10-08"),
  claude("anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 4.5", "2025-09-29"),
  claude("anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5", "2025-10-15"),
  {
    ...claude("anthropic.claude-opus-4-1-20250805-v1:0", "Claude Opus 4.1", "2025-08-05"),
    profiles: ["us", "eu"],
    status: "LEGACY",
  },
  nova(
    "amazon.nova-2-lite-v1:0",
    "Nova 2 Lite",
    "2025-12-02",
    ["TEXT", "IMAGE", "VIDEO"],
    ["us", "eu", "jp", "global"],
  ),
  nova("amazon.nova-pro-v1:0", "Nova Pro", "2024-12-03", ["TEXT", "IMAGE", "VIDEO"], ["us", "eu", "apac"]),
  nova("amazon.nova-lite-v1:0", "Nova Lite", "2024-12-03", ["TEXT", "IMAGE", "VIDEO"], ["us", "eu", "apac"]),
  nova("amazon.nova-micro-v1:0", "Nova Micro", "2024-12-03", TEXT, ["us", "eu", "apac"]),
  model("meta.llama3-3-70b-instruct-v1:0", "Llama 3.3 70B Instruct", "Meta", "2024-12-19", {
    onDemand: false,
    profiles: ["us"],
  }),
  model("meta.llama4-maverick-17b-instruct-v1:0", "Llama 4 Maverick 17B Instruct", "Meta", "2025-04-28", {
    inputModalities: TEXT_AND_IMAGE,
    onDemand: false,
    profiles: ["us"],
  }),
  model("deepseek.r1-v1:0", "DeepSeek-R1", "DeepSeek", "2025-03-10", { onDemand: false, profiles: ["us"] }),
  model("deepseek.v3.2", "DeepSeek V3.2", "DeepSeek", "2026-02-03", { profiles: ["us", "eu"] }),
  model("qwen.qwen3-32b-v1:0", "Qwen3 32B", "Qwen", "2025-09-18"),
  model("qwen.qwen3-coder-480b-a35b-v1:0", "Qwen3 Coder 480B A35B", "Qwen", "2025-09-18"),
  model("mistral.mistral-large-3-675b-instruct", "Mistral Large 3", "Mistral AI", "2025-12-02", {
    inputModalities: TEXT_AND_IMAGE,
  }),
  model("openai.gpt-oss-120b-1:0", "gpt-oss-120b", "OpenAI", "2025-08-05"),
  model("openai.gpt-oss-20b-1:0", "gpt-oss-20b", "OpenAI", "2025-08-05"),
  embedding("amazon.titan-embed-text-v2:0", "Titan Text Embeddings V2", "Amazon", "2024-04-30", TEXT),
  embedding(
    "amazon.nova-2-multimodal-embeddings-v1:0",
    "Nova Multimodal Embeddings",
    "Amazon",
    "2025-10-28",
    TEXT_AND_IMAGE,
  ),
  embedding("cohere.embed-multilingual-v3", "Embed Multilingual", "Cohere", "2023-11-29", TEXT),
  {
    ...embedding("cohere.embed-v4:0", "Embed v4", "Cohere", "2025-10-01", TEXT_AND_IMAGE),
    profiles: ["us", "eu", "global"],
  },
  {
    ...embedding("twelvelabs.marengo-embed-3-0-v1:0", "Marengo Embed 3.0", "TwelveLabs", "2025-10-28", TEXT_AND_IMAGE),
    profiles: ["us", "eu"],
  },
  model("amazon.titan-image-generator-v2:0", "Titan Image Generator G1 v2", "Amazon", "2024-08-06", {
    inputModalities: TEXT_AND_IMAGE,
    outputModalities: ["IMAGE"],
    responseStreamingSupported: false,
  }),
];

export const APPLICATION_PROFILES: readonly ApplicationProfile[] = [
  { id: "k3f9a2b7c1d4", name: "search-team", modelId: "anthropic.claude-haiku-4-5-20251001-v1:0" },
  { id: "p8q2r5s7t1u4", name: "batch-jobs", modelId: "amazon.nova-micro-v1:0" },
];

/** Where a geographic profile routes to; `global` has its own rule. The first segment of a region picks the keys. */
export const GEOGRAPHIES: Readonly<Record<string, readonly string[]>> = {
  us: ["us-east-1", "us-east-2", "us-west-2"],
  eu: ["eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3"],
  jp: ["ap-northeast-1", "ap-northeast-3"],
  au: ["ap-southeast-2", "ap-southeast-4"],
  apac: ["ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2"],
};

function model(
  modelId: string,
  modelName: string,
  providerName: string,
  day: string,
  more: Partial<CatalogModel> = {},
): CatalogModel {
  return {
    modelId,
    modelName,
    providerName,
    inputModalities: TEXT,
    outputModalities: TEXT,
    responseStreamingSupported: true,
    onDemand: true,
    profiles: [],
    status: "ACTIVE",
    startOfLifeTime: `${day}T00:00:00Z`,
    ...more,
  };
}

function claude(modelId: string, modelName: string, day: string): CatalogModel {
  const more = { inputModalities: TEXT_AND_IMAGE, onDemand: false, profiles: CLAUDE_GEOGRAPHIES };
  return model(modelId, modelName, "Anthropic", day, more);
}

function nova(
  modelId: string,
  modelName: string,
  day: string,
  inputModalities: readonly string[],
  profiles: readonly string[],
): CatalogModel {
  return model(modelId, modelName, "Amazon", day, { inputModalities, profiles });
}

function embedding(
  modelId: string,
  modelName: string,
  providerName: string,
  day: string,
  inputModalities: readonly string[],
): CatalogModel {
  const more = { inputModalities, outputModalities: ["EMBEDDING"], responseStreamingSupported: false };
  return model(modelId, modelName, providerName, day, more);
}
