/**
 * The table of capabilities: one row for each family of models, data only.
 *
 * From AWS's user guide (https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html,
 * prompt-caching.html, structured-output.html), the providers' own pages and the texts of Bedrock's refusals. Where sources
 * differ, the row has what no source says is refused. A row spreads the nearest older generation and names what differs.
 */
import type { Capabilities, CapabilityRow, Reasoning } from "./capabilities.ts";

/** A model that no row knows. */
export const UNKNOWN_MODEL: Capabilities = {
  system: true,
  streaming: "always",
  stopSequences: "all",
  sampling: "both",
  topK: "none",
  prefill: false,
  minTokens: 1,
  defaultTokens: 4_096,
  anthropic: false,
  images: true,
  documents: true,
  video: true,
  audio: true,
  searchResults: false,
  tools: true,
  forcedTools: ["any", "tool"],
  forcedToolsWhileThinking: true,
  singleToolCalls: false,
  strictTools: false,
  toolUseIds: "any",
  toolResultStatus: false,
  toolResultJson: false,
  toolResultMedia: false,
  toolResultsWithContent: true,
  jsonSchema: false,
  reasoning: { style: "none" },
  reasoningReplay: "none",
  cacheSections: [],
  cacheTtls: [],
  maxCachePoints: 0,
};

const TEXT_ONLY = { images: false, video: false, audio: false } as const;
const IMAGES_ONLY = { images: true, video: false, audio: false } as const;
const NO_TOOLS = { tools: false, forcedTools: [] } as const;
const FULL_CACHE = {
  cacheSections: ["tools", "system", "messages"],
  cacheTtls: ["5m", "1h"],
  maxCachePoints: 4,
} as const;
const SHORT_CACHE = { ...FULL_CACHE, cacheTtls: ["5m"] } as const;

// Anthropic

const CLAUDE_3: Capabilities = {
  ...UNKNOWN_MODEL,
  ...IMAGES_ONLY,
  anthropic: true,
  stopSequences: "non-blank",
  topK: "top_k",
  prefill: true,
  defaultTokens: 4_096,
  maxTokens: 4_096,
  forcedToolsWhileThinking: false,
  toolResultStatus: true,
  toolResultJson: true,
  toolResultMedia: true,
  reasoningReplay: "signed",
};
const CLAUDE_3_LATER: Capabilities = { ...CLAUDE_3, ...SHORT_CACHE, defaultTokens: 8_192, maxTokens: 8_192 };
const CLAUDE_BUDGET: Reasoning = { style: "budget", minBudget: 1_024 };
const CLAUDE_4: Capabilities = {
  ...CLAUDE_3_LATER,
  searchResults: true,
  reasoning: CLAUDE_BUDGET,
  defaultTokens: 16_384,
  maxTokens: 64_000,
};
const CLAUDE_4_5: Capabilities = {
  ...CLAUDE_4,
  ...FULL_CACHE,
  sampling: "one",
  singleToolCalls: true,
  strictTools: true,
  jsonSchema: true,
};
const CLAUDE_4_6: Capabilities = {
  ...CLAUDE_4_5,
  prefill: false,
  reasoning: {
    style: "adaptive",
    efforts: ["low", "medium", "high", "max"],
    always: false,
    off: "disabled",
    minBudget: 1_024,
  },
};
const CLAUDE_EFFORTS = ["low", "medium", "high", "xhigh", "max"] as const;
const CLAUDE_4_7: Capabilities = {
  ...CLAUDE_4_6,
  sampling: "none",
  topK: "none",
  strictTools: false,
  jsonSchema: false,
  maxTokens: 128_000,
  reasoning: { style: "adaptive", efforts: CLAUDE_EFFORTS, always: false, off: "disabled" },
};
const CLAUDE_5: Capabilities = { ...CLAUDE_4_7, forcedToolsWhileThinking: true };
const CLAUDE_ALWAYS_THINKING: Capabilities = {
  ...CLAUDE_5,
  reasoning: { style: "adaptive", efforts: CLAUDE_EFFORTS, always: true },
};
const CLAUDE_NEWEST: Capabilities = { ...CLAUDE_ALWAYS_THINKING, forcedTools: [] };

const ANTHROPIC: readonly CapabilityRow[] = [
  {
    family: "Claude 2 and Instant",
    ids: ["anthropic.claude-v", "anthropic.claude-instant"],
    capabilities: { ...CLAUDE_3, ...TEXT_ONLY, ...NO_TOOLS, reasoningReplay: "none", maxTokens: 8_191 },
  },
  { family: "Claude 3", ids: ["anthropic.claude-3-"], capabilities: CLAUDE_3 },
  {
    family: "Claude 3.5 Haiku",
    ids: ["anthropic.claude-3-5-haiku"],
    capabilities: { ...CLAUDE_3_LATER, ...TEXT_ONLY },
  },
  { family: "Claude 3.5 Sonnet v2", ids: ["anthropic.claude-3-5-sonnet-20241022"], capabilities: CLAUDE_3_LATER },
  {
    family: "Claude 3.7 Sonnet",
    ids: ["anthropic.claude-3-7-sonnet"],
    capabilities: { ...CLAUDE_3_LATER, reasoning: CLAUDE_BUDGET },
  },
  { family: "Claude Sonnet 4", ids: ["anthropic.claude-sonnet-4-20"], capabilities: CLAUDE_4 },
  {
    family: "Claude Opus 4",
    ids: ["anthropic.claude-opus-4-20"],
    capabilities: { ...CLAUDE_4, maxTokens: 32_000 },
  },
  {
    family: "Claude Opus 4.1",
    ids: ["anthropic.claude-opus-4-1"],
    capabilities: { ...CLAUDE_4, sampling: "one", maxTokens: 32_000 },
  },
  {
    family: "Claude 4.5",
    ids: ["anthropic.claude-sonnet-4-5", "anthropic.claude-opus-4-5", "anthropic.claude-haiku-4-5"],
    capabilities: CLAUDE_4_5,
  },
  { family: "Claude Sonnet 4.6", ids: ["anthropic.claude-sonnet-4-6"], capabilities: CLAUDE_4_6 },
  {
    family: "Claude Opus 4.6",
    ids: ["anthropic.claude-opus-4-6"],
    capabilities: { ...CLAUDE_4_6, maxTokens: 128_000 },
  },
  { family: "Claude Opus 4.7", ids: ["anthropic.claude-opus-4-7"], capabilities: CLAUDE_4_7 },
  { family: "Claude Opus 4.8", ids: ["anthropic.claude-opus-4-8"], capabilities: CLAUDE_5 },
  {
    family: "Claude Opus 5 and Sonnet 5",
    // With a date or a version behind it; what else follows is a later minor version.
    ids: [
      "anthropic.claude-opus-5",
      "anthropic.claude-opus-5-20",
      "anthropic.claude-opus-5-v",
      "anthropic.claude-sonnet-5",
      "anthropic.claude-sonnet-5-20",
      "anthropic.claude-sonnet-5-v",
    ],
    capabilities: CLAUDE_5,
  },
  {
    family: "Claude Haiku 5.5",
    ids: ["anthropic.claude-haiku-5"],
    capabilities: {
      ...CLAUDE_5,
      reasoning: { style: "adaptive", efforts: ["low", "medium", "high"], always: false, off: "disabled" },
    },
  },
  {
    family: "Claude Sonnet 5.5",
    ids: ["anthropic.claude-sonnet-5-"],
    capabilities: {
      ...CLAUDE_NEWEST,
      reasoning: { style: "adaptive", efforts: CLAUDE_EFFORTS, always: true, off: "between_tools" },
    },
  },
  {
    family: "Claude Opus 5.5 and Fable 5.1",
    ids: ["anthropic.claude-opus-5-", "anthropic.claude-fable-5-"],
    capabilities: CLAUDE_NEWEST,
  },
  {
    family: "Claude Fable 5",
    ids: ["anthropic.claude-fable-5", "anthropic.claude-fable-5-v", "anthropic.claude-fable-5-20"],
    capabilities: CLAUDE_ALWAYS_THINKING,
  },
  {
    family: "Claude Mythos",
    ids: ["anthropic.claude-mythos-"],
    capabilities: { ...CLAUDE_ALWAYS_THINKING, jsonSchema: true },
  },
  { family: "Claude, not yet known", ids: ["anthropic.claude-"], capabilities: CLAUDE_NEWEST },
];

// Amazon

const NOVA: Capabilities = {
  ...UNKNOWN_MODEL,
  images: true,
  documents: true,
  video: true,
  audio: false,
  topK: "inferenceConfig.topK",
  prefill: true,
  defaultTokens: 10_000,
  maxTokens: 10_000,
  toolResultStatus: true,
  toolResultMedia: true,
  cacheSections: ["system", "messages"],
  cacheTtls: ["5m"],
  maxCachePoints: 4,
};
const TITAN: Capabilities = {
  ...UNKNOWN_MODEL,
  ...TEXT_ONLY,
  ...NO_TOOLS,
  system: false,
  defaultTokens: 3_072,
};

const AMAZON: readonly CapabilityRow[] = [
  { family: "Nova Micro", ids: ["amazon.nova-micro"], capabilities: { ...NOVA, ...TEXT_ONLY, documents: false } },
  {
    family: "Nova Lite, Pro and Premier",
    ids: ["amazon.nova-lite", "amazon.nova-pro", "amazon.nova-premier"],
    capabilities: NOVA,
  },
  {
    family: "Nova 2",
    ids: ["amazon.nova-2-lite", "amazon.nova-2-pro"],
    capabilities: {
      ...NOVA,
      defaultTokens: 16_384,
      maxTokens: 64_000,
      reasoning: { style: "nova", efforts: ["low", "medium", "high"], bareEffort: "high" },
    },
  },
  { family: "Titan Text Express", ids: ["amazon.titan-text-express"], capabilities: { ...TITAN, maxTokens: 8_000 } },
  { family: "Titan Text Lite", ids: ["amazon.titan-text-lite"], capabilities: { ...TITAN, maxTokens: 4_000 } },
  { family: "Titan Text Premier", ids: ["amazon.titan-text-premier"], capabilities: { ...TITAN, maxTokens: 32_000 } },
];

// Meta

const LLAMA_3_1: Capabilities = {
  ...UNKNOWN_MODEL,
  ...TEXT_ONLY,
  streaming: "without-tools",
  forcedTools: [],
  maxTokens: 4_096,
};
const LLAMA_3: Capabilities = { ...LLAMA_3_1, ...NO_TOOLS, defaultTokens: 2_048 };

const META: readonly CapabilityRow[] = [
  { family: "Llama 2", ids: ["meta.llama2-"], capabilities: LLAMA_3 },
  {
    family: "Llama 3",
    ids: ["meta.llama3-8b", "meta.llama3-70b"],
    capabilities: { ...LLAMA_3, maxTokens: 8_192 },
  },
  { family: "Llama 3.1 to 3.3", ids: ["meta.llama3-"], capabilities: LLAMA_3_1 },
  {
    family: "Llama 3.2 Vision",
    ids: ["meta.llama3-2-11b", "meta.llama3-2-90b"],
    capabilities: { ...LLAMA_3_1, ...IMAGES_ONLY },
  },
  {
    family: "Llama 4",
    ids: ["meta.llama4-"],
    capabilities: { ...LLAMA_3_1, ...IMAGES_ONLY, defaultTokens: 8_192, maxTokens: 8_192 },
  },
];

// Mistral

const MISTRAL_LARGE: Capabilities = {
  ...UNKNOWN_MODEL,
  ...TEXT_ONLY,
  streaming: "without-tools",
  forcedTools: ["any"],
  toolUseIds: "nine-alphanumeric",
  toolResultsWithContent: false,
  maxTokens: 4_096,
};
const MISTRAL_3: Capabilities = {
  ...MISTRAL_LARGE,
  ...IMAGES_ONLY,
  streaming: "always",
  stopSequences: "none",
  forcedTools: ["any", "tool"],
  jsonSchema: true,
  defaultTokens: 8_000,
  maxTokens: 8_000,
};

const MISTRAL: readonly CapabilityRow[] = [
  {
    family: "Mistral 7B and Mixtral",
    ids: ["mistral.mistral-7b", "mistral.mixtral-8x7b"],
    capabilities: { ...MISTRAL_LARGE, ...NO_TOOLS, system: false },
  },
  {
    family: "Mistral Large 2402 and Small 2402",
    ids: ["mistral.mistral-large-2402", "mistral.mistral-small-2402"],
    capabilities: MISTRAL_LARGE,
  },
  {
    family: "Mistral Large 2407",
    ids: ["mistral.mistral-large-2407"],
    capabilities: { ...MISTRAL_LARGE, defaultTokens: 8_191, maxTokens: 8_191 },
  },
  {
    family: "Pixtral Large",
    ids: ["mistral.pixtral-large"],
    capabilities: { ...MISTRAL_LARGE, ...IMAGES_ONLY, defaultTokens: 16_384, maxTokens: 16_384 },
  },
  {
    family: "Mistral Large 3",
    ids: ["mistral.mistral-large-3"],
    capabilities: { ...MISTRAL_3, defaultTokens: 16_384, maxTokens: 32_000 },
  },
  { family: "Ministral 3", ids: ["mistral.ministral-3"], capabilities: MISTRAL_3 },
  {
    family: "Voxtral",
    ids: ["mistral.voxtral"],
    capabilities: { ...MISTRAL_3, images: false, audio: true, defaultTokens: 8_192, maxTokens: 8_192 },
  },
  {
    family: "Magistral",
    ids: ["mistral.magistral"],
    capabilities: {
      ...MISTRAL_3,
      forcedTools: [],
      jsonSchema: false,
      reasoning: { style: "fixed" },
      defaultTokens: 16_384,
      maxTokens: 40_000,
    },
  },
  {
    family: "Devstral 2",
    ids: ["mistral.devstral-2"],
    capabilities: { ...MISTRAL_3, ...TEXT_ONLY, jsonSchema: false, defaultTokens: 16_384, maxTokens: 32_000 },
  },
];

// OpenAI

const GPT: Capabilities = {
  ...UNKNOWN_MODEL,
  ...IMAGES_ONLY,
  stopSequences: "none",
  sampling: "none",
  minTokens: 16,
  defaultTokens: 16_384,
  maxTokens: 128_000,
  reasoning: { style: "reasoning.effort", efforts: ["none", "low", "medium", "high", "xhigh"] },
};
const GPT_ALWAYS_THINKING: Capabilities = {
  ...GPT,
  reasoning: { style: "reasoning.effort", efforts: ["low", "medium", "high", "xhigh"] },
};

const OPENAI: readonly CapabilityRow[] = [
  {
    family: "gpt-oss",
    ids: ["openai.gpt-oss-"],
    capabilities: {
      ...UNKNOWN_MODEL,
      ...TEXT_ONLY,
      stopSequences: "none",
      forcedTools: ["any"],
      reasoning: { style: "reasoning_effort", efforts: ["low", "medium", "high"], offByDefault: false },
      reasoningReplay: "unsigned",
      defaultTokens: 16_384,
      maxTokens: 16_384,
    },
  },
  { family: "GPT-5", ids: ["openai.gpt-5.", "openai.gpt-daybreak-blue-5.6"], capabilities: GPT },
  { family: "GPT-6 Sol and Luna", ids: ["openai.gpt-6-sol", "openai.gpt-6-luna"], capabilities: GPT },
  {
    family: "GPT-6 Astra and GPT-6.1",
    ids: ["openai.gpt-6-astra", "openai.gpt-6.1-"],
    capabilities: GPT_ALWAYS_THINKING,
  },
  { family: "GPT, not yet known", ids: ["openai.gpt-"], capabilities: GPT_ALWAYS_THINKING },
];

// Others

/** Open weights behind one common server. */
const OPEN_WEIGHTS: Capabilities = {
  ...UNKNOWN_MODEL,
  ...TEXT_ONLY,
  stopSequences: "none",
  forcedTools: ["any"],
  defaultTokens: 8_000,
  maxTokens: 8_000,
};
const QWEN_3: Capabilities = { ...OPEN_WEIGHTS, jsonSchema: true, defaultTokens: 8_192, maxTokens: 8_192 };
const GEMMA: Capabilities = { ...OPEN_WEIGHTS, ...IMAGES_ONLY, forcedTools: [] };
const NEMOTRON: Capabilities = { ...OPEN_WEIGHTS, forcedTools: [], defaultTokens: 8_192, maxTokens: 8_192 };
const KIMI: Capabilities = {
  ...OPEN_WEIGHTS,
  reasoning: { style: "reasoning_effort", efforts: ["low", "high", "max"], offByDefault: false },
  reasoningReplay: "unsigned",
  defaultTokens: 16_000,
  maxTokens: 16_000,
};
const GLM: Capabilities = {
  ...OPEN_WEIGHTS,
  reasoning: { style: "reasoning_effort", efforts: ["low", "medium", "high"], offByDefault: false },
  defaultTokens: 16_384,
  maxTokens: 128_000,
};
const GROK: Capabilities = {
  ...GPT,
  reasoning: { style: "fixed" },
  maxTokens: 500_000,
};
const COHERE: Capabilities = {
  ...UNKNOWN_MODEL,
  ...TEXT_ONLY,
  forcedTools: [],
  toolResultsWithContent: false,
  defaultTokens: 4_000,
  maxTokens: 4_096,
};
const JAMBA: Capabilities = {
  ...UNKNOWN_MODEL,
  ...TEXT_ONLY,
  streaming: "without-tools",
  forcedTools: [],
  maxTokens: 4_096,
};
const PALMYRA: Capabilities = {
  ...UNKNOWN_MODEL,
  ...TEXT_ONLY,
  forcedTools: [],
  defaultTokens: 8_192,
  maxTokens: 8_192,
};

const OTHERS: readonly CapabilityRow[] = [
  {
    family: "Jurassic-2",
    ids: ["ai21.j2-"],
    capabilities: { ...JAMBA, ...NO_TOOLS, system: false, streaming: "never", maxTokens: 8_191 },
  },
  { family: "Jamba Instruct", ids: ["ai21.jamba-instruct"], capabilities: { ...JAMBA, ...NO_TOOLS } },
  { family: "Jamba 1.5", ids: ["ai21.jamba-1-5"], capabilities: JAMBA },
  {
    family: "Cohere Command",
    ids: ["cohere.command-text", "cohere.command-light-text"],
    capabilities: { ...COHERE, ...NO_TOOLS, system: false },
  },
  { family: "Cohere Command R", ids: ["cohere.command-r"], capabilities: COHERE },
  {
    family: "DeepSeek R1",
    ids: ["deepseek.r1"],
    capabilities: {
      ...UNKNOWN_MODEL,
      ...TEXT_ONLY,
      ...NO_TOOLS,
      reasoning: { style: "fixed" },
      defaultTokens: 8_192,
      maxTokens: 8_192,
    },
  },
  {
    family: "DeepSeek V3",
    ids: ["deepseek.v3"],
    capabilities: {
      ...OPEN_WEIGHTS,
      jsonSchema: true,
      reasoning: { style: "reasoning_effort", efforts: ["low", "medium", "high"], offByDefault: true },
      reasoningReplay: "unsigned",
    },
  },
  {
    family: "DeepSeek V3.2",
    ids: ["deepseek.v3.2"],
    capabilities: {
      ...OPEN_WEIGHTS,
      jsonSchema: true,
      reasoning: { style: "reasoning_effort", efforts: ["low", "medium", "high"], offByDefault: true },
      reasoningReplay: "unsigned",
      maxTokens: 163_840,
    },
  },
  { family: "Gemma 3", ids: ["google.gemma-3-"], capabilities: GEMMA },
  { family: "Gemma 4", ids: ["google.gemma-4-"], capabilities: { ...GEMMA, maxTokens: 32_768 } },
  {
    family: "MiniMax M2",
    ids: ["minimax.minimax-m2"],
    capabilities: {
      ...OPEN_WEIGHTS,
      jsonSchema: true,
      reasoning: { style: "fixed" },
      reasoningReplay: "unsigned",
      maxTokens: 8_192,
    },
  },
  {
    family: "Kimi K2 Thinking",
    ids: ["moonshot.kimi-k2-thinking", "moonshotai.kimi-k2-thinking"],
    capabilities: { ...KIMI, jsonSchema: true },
  },
  { family: "Kimi K2.5", ids: ["moonshotai.kimi-k2.5"], capabilities: { ...KIMI, ...IMAGES_ONLY, forcedTools: [] } },
  {
    family: "Kimi K3",
    ids: ["moonshotai.kimi-k3"],
    capabilities: {
      ...KIMI,
      ...IMAGES_ONLY,
      sampling: "none",
      minTokens: 16,
      defaultTokens: 16_384,
      maxTokens: 131_072,
    },
  },
  {
    family: "Nemotron Nano",
    ids: ["nvidia.nemotron-nano-9b"],
    capabilities: NEMOTRON,
  },
  {
    family: "Nemotron Nano 12B",
    ids: ["nvidia.nemotron-nano-12b"],
    capabilities: { ...NEMOTRON, ...IMAGES_ONLY },
  },
  { family: "Nemotron Nano 3", ids: ["nvidia.nemotron-nano-3"], capabilities: { ...NEMOTRON, jsonSchema: true } },
  {
    family: "Nemotron Super 3",
    ids: ["nvidia.nemotron-super-3"],
    capabilities: { ...NEMOTRON, defaultTokens: 16_384, maxTokens: 32_768 },
  },
  { family: "Qwen3", ids: ["qwen.qwen3-235b", "qwen.qwen3-32b", "qwen.qwen3-next"], capabilities: QWEN_3 },
  {
    family: "Qwen3 Coder",
    ids: ["qwen.qwen3-coder"],
    capabilities: { ...QWEN_3, defaultTokens: 16_384, maxTokens: 16_384 },
  },
  { family: "Qwen3 VL", ids: ["qwen.qwen3-vl"], capabilities: { ...QWEN_3, ...IMAGES_ONLY } },
  { family: "Palmyra X", ids: ["writer.palmyra-x"], capabilities: PALMYRA },
  {
    family: "Palmyra Vision",
    ids: ["writer.palmyra-vision"],
    capabilities: { ...PALMYRA, ...IMAGES_ONLY, ...NO_TOOLS, defaultTokens: 2_048, maxTokens: 4_096 },
  },
  { family: "Grok 4.3", ids: ["xai.grok-4.3"], capabilities: { ...GROK, maxTokens: 131_072 } },
  { family: "Grok", ids: ["xai.grok-"], capabilities: GROK },
  { family: "GLM 4.7", ids: ["zai.glm-4.7"], capabilities: GLM },
  { family: "GLM 5", ids: ["zai.glm-5"], capabilities: { ...GLM, jsonSchema: true } },
  {
    family: "GLM 5.3",
    ids: ["zai.glm-5.3"],
    capabilities: { ...GLM, jsonSchema: true, forcedTools: ["any", "tool"] },
  },
];

export const CAPABILITY_TABLE: readonly CapabilityRow[] = [
  ...ANTHROPIC,
  ...AMAZON,
  ...META,
  ...MISTRAL,
  ...OPENAI,
  ...OTHERS,
];
