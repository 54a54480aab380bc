/**
 * What a model's refusals teach.
 *
 * Bedrock says in a validation error which field or feature a model does not take. That is one more column of what is
 * known about the model: learned once for each, remembered by the process, and gone with it, so that a model that
 * improves is asked again some day. Guardrails are never among what is left out.
 */
import { LRUCache } from "lru-cache";
import type { ConverseRequest } from "../bedrock/converse.ts";
import type { Capabilities } from "./capabilities.ts";

export interface Lesson {
  readonly capabilities?: Partial<Capabilities>;
  /** A part of the request that is left out altogether. */
  readonly without?: keyof ConverseRequest;
}

export interface Lessons {
  of(model: string): readonly Lesson[];
  /** False when that is known already: then it does not help. */
  learn(model: string, lesson: Lesson): boolean;
}

const MAX_MODELS = 1_000;
const MAX_LESSONS = 16;
const REMEMBERED_MS = 24 * 60 * 60_000;

export function createLessons(): Lessons {
  const learned = new LRUCache<string, readonly Lesson[]>({ max: MAX_MODELS, ttl: REMEMBERED_MS });
  return {
    of: (model) => learned.get(model) ?? [],
    learn(model, lesson) {
      const known = learned.get(model) ?? [];
      const text = JSON.stringify(lesson);
      if (known.length >= MAX_LESSONS || known.some((other) => JSON.stringify(other) === text)) return false;
      learned.set(model, [...known, lesson]);
      return true;
    },
  };
}

/** What all lessons say together. */
export function applyLessons(capabilities: Capabilities, lessons: readonly Lesson[]): Capabilities {
  return Object.assign({}, capabilities, ...lessons.map((lesson) => lesson.capabilities ?? {}));
}

export function withoutParts(request: ConverseRequest, lessons: readonly Lesson[]): ConverseRequest {
  const parts = new Set(lessons.flatMap(({ without }) => (without === undefined ? [] : [without])));
  if (parts.size === 0) return request;
  return Object.fromEntries(
    Object.entries(request).filter(([name]) => !parts.has(name as keyof ConverseRequest)),
  ) as ConverseRequest & { messages: ConverseRequest["messages"] };
}

type Teaching = (match: RegExpExecArray) => Lesson;

/** By the field in "This model doesn't support the X field. Remove X and try again." */
const FIELDS: readonly (readonly [RegExp, Lesson])[] = [
  [/toolChoice\.tool$/, { capabilities: { forcedTools: ["any"] } }],
  [/toolChoice/, { capabilities: { forcedTools: [] } }],
  [/stopSequences/, { capabilities: { stopSequences: "none" } }],
  [/temperature|top_?p/i, { capabilities: { sampling: "none" } }],
  [/cachePoint/, { capabilities: { cacheSections: [] } }],
  [/textFormat|^outputConfig$|output_config/, { capabilities: { jsonSchema: false } }],
  [/^system$/, { capabilities: { system: false } }],
  [/strict/, { capabilities: { strictTools: false } }],
  [/toolResult\.status|^status$/, { capabilities: { toolResultStatus: false } }],
  [/reasoningContent/, { capabilities: { reasoningReplay: "none" } }],
  [/effort|thinking|reasoning/, { capabilities: { reasoning: { style: "none" } } }],
  [/^toolConfig$|^tools$/, { capabilities: { tools: false } }],
  [/^performanceConfig/, { without: "performanceConfig" }],
  [/^serviceTier/, { without: "serviceTier" }],
  [/^requestMetadata/, { without: "requestMetadata" }],
  [/^additionalModelResponseFieldPaths/, { without: "additionalModelResponseFieldPaths" }],
];

const TEXTS: readonly (readonly [RegExp, Teaching])[] = [
  [
    /doesn.t support the `?([\w.[\]]+)`? (?:field|content block)/i,
    (match) => FIELDS.find(([field]) => field.test(match[1] ?? ""))?.[1] ?? {},
  ],
  [/`?temperature`? and `?top_?p`? cannot both/i, () => ({ capabilities: { sampling: "one" } })],
  [/`?(?:temperature|top_?p)`? is deprecated for this model/i, () => ({ capabilities: { sampling: "none" } })],
  [/doesn.t support tool use in streaming mode/i, () => ({ capabilities: { streaming: "without-tools" } })],
  [/doesn.t support tool use/i, () => ({ capabilities: { tools: false } })],
  [/does not support assistant message prefill/i, () => ({ capabilities: { prefill: false } })],
  [/did not allow prompt caching/i, () => ({ capabilities: { cacheSections: [] } })],
  [
    /output_config\.format: Extra inputs|Schema is too complex|Schemas contains too many/i,
    () => ({ capabilities: { jsonSchema: false } }),
  ],
  [/tool_choice: type .* (?:is|are) not supported/i, () => ({ capabilities: { forcedTools: [] } })],
  [
    /Conversation blocks and tool result blocks cannot be provided in the same turn/i,
    () => ({ capabilities: { toolResultsWithContent: false } }),
  ],
  [/User messages cannot contain reasoning content/i, () => ({ capabilities: { reasoningReplay: "none" } })],
  [
    /maximum tokens you requested exceeds the model limit of (\d+)/i,
    (match) => ({ capabilities: { maxTokens: Number(match[1]) } }),
  ],
];

/** What Bedrock's text teaches; undefined when it is about something else. */
export function lessonFrom(text: string): Lesson | undefined {
  for (const [pattern, teach] of TEXTS) {
    const match = pattern.exec(text);
    if (match === null) continue;
    const lesson = teach(match);
    return lesson.capabilities === undefined && lesson.without === undefined ? undefined : lesson;
  }
  return undefined;
}
