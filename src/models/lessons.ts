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
  /** It is about this request, not about the model: for the next attempt alone. */
  readonly passing?: true;
}

export interface Lessons {
  of(model: string): readonly Lesson[];
  learn(model: string, lesson: Lesson): void;
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
      if (known.length >= MAX_LESSONS || known.some((other) => JSON.stringify(other) === text)) return;
      learned.set(model, [...known, lesson]);
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
  [/searchResult/, { capabilities: { searchResults: false } }],
  [/reasoningContent/, { capabilities: { reasoningReplay: "none" } }],
  [/effort|thinking|reasoning/, { capabilities: { reasoning: { style: "none" } } }],
  [/textFormat|^outputConfig$|output_config/, { capabilities: { jsonSchema: false } }],
  [/^system$/, { capabilities: { system: false } }],
  [/strict/, { capabilities: { strictTools: false } }],
  [/toolResult\.status|^status$/, { capabilities: { toolResultStatus: false } }],
  [/^toolConfig$|^tools$/, { capabilities: { tools: false } }],
  [/^performanceConfig/, { without: "performanceConfig" }],
  [/^serviceTier/, { without: "serviceTier" }],
  [/^requestMetadata/, { without: "requestMetadata" }],
  [/^additionalModelResponseFieldPaths/, { without: "additionalModelResponseFieldPaths" }],
];

const TEXTS: readonly (readonly [RegExp, Teaching])[] = [
  [
    refusal("This model doesn.t support the `?([\\w.|[\\]]+)`? (?:field|content block)"),
    (match) => FIELDS.find(([field]) => field.test(match[1] ?? ""))?.[1] ?? {},
  ],
  [refusal("`?temperature`? and `?top_?p`? cannot both"), () => ({ capabilities: { sampling: "one" } })],
  [refusal("`?(?:temperature|top_?p)`? is deprecated for this model"), () => ({ capabilities: { sampling: "none" } })],
  [
    refusal("This model doesn.t support tool use in streaming mode"),
    () => ({ capabilities: { streaming: "without-tools" } }),
  ],
  [refusal("This model doesn.t support tool use"), () => ({ capabilities: { tools: false } })],
  [refusal("This model does not support assistant message prefill"), () => ({ capabilities: { prefill: false } })],
  [
    refusal("You invoked an unsupported model or your request did not allow prompt caching"),
    () => ({ capabilities: { cacheSections: [] } }),
  ],
  [refusal("output_config\\.format[\\w.]*: Extra inputs"), () => ({ capabilities: { jsonSchema: false } })],
  [
    refusal("(?:output_config\\.format[\\w.]*: )?(?:Schema is too complex|Schemas contains too many)"),
    () => ({ capabilities: { jsonSchema: false }, passing: true }),
  ],
  // One client's preview, which may be unknown to this model: the next one's may be known.
  [
    refusal("thinking[\\w.]{0,40}\\.display: Extra inputs"),
    () => ({ capabilities: { anthropic: false }, passing: true }),
  ],
  [
    refusal("invalid beta flag|Unexpected value\\(s\\) .{0,200} for the `?anthropic-beta"),
    () => ({ capabilities: { anthropic: false }, passing: true }),
  ],
  [refusal("tool_choice: type .* (?:is|are) not supported"), () => ({ capabilities: { forcedTools: [] } })],
  [
    refusal("Conversation blocks and tool result blocks cannot be provided in the same turn"),
    () => ({ capabilities: { toolResultsWithContent: false } }),
  ],
  [refusal("User messages cannot contain reasoning content"), () => ({ capabilities: { reasoningReplay: "none" } })],
  [
    refusal("The maximum tokens you requested exceeds the model limit of (\\d+)"),
    (match) => ({ capabilities: { maxTokens: Number(match[1]) } }),
  ],
];

/**
 * A text from its beginning on: Bedrock quotes what a client wrote, and one client must not teach what is remembered for
 * all others.
 */
function refusal(text: string): RegExp {
  return new RegExp(`^(?:${text})`, "i");
}

const INTRODUCTION = "The model returned the following errors: ";

/**
 * What Bedrock's text teaches; undefined when it is about something else. Claude's texts begin with the field that is at
 * fault: `names` are those of fields that the client has made up, and a text that begins with one teaches nothing.
 */
export function lessonFrom(message: string, names: readonly string[] = []): Lesson | undefined {
  const text = message.startsWith(INTRODUCTION) ? message.slice(INTRODUCTION.length) : message;
  if (names.some((name) => text.startsWith(name))) return undefined;
  for (const [pattern, teach] of TEXTS) {
    const match = pattern.exec(text);
    if (match === null) continue;
    const lesson = teach(match);
    return lesson.capabilities === undefined && lesson.without === undefined ? undefined : lesson;
  }
  return undefined;
}
