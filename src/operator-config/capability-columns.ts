/**
 * The columns of an entry of `models.capabilities`, as models/capabilities.ts has them: each may be absent, none may be wrong.
 * A column that is added there is a compile error here.
 */
import * as v from "valibot";
import { EFFORTS } from "../bedrock/intent.ts";
import type { Capabilities, Reasoning } from "../models/capabilities.ts";

type Column<T> = v.GenericSchema<unknown, T>;

const MAX_TOKENS = 10_000_000;

const flag: Column<boolean> = v.boolean(mustBe("true or false"));
const count: Column<number> = v.custom<number>(
  (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS,
  mustBe(`a whole number of at most ${MAX_TOKENS}`),
);
const effort = oneOf(EFFORTS);
const efforts = list(effort);

const STYLES: { readonly [S in Reasoning["style"]]: Column<Reasoning & { style: S }> } = {
  none: mapping({ style: oneOf(["none"]) }),
  fixed: mapping({ style: oneOf(["fixed"]) }),
  budget: mapping({ style: oneOf(["budget"]), minBudget: count }),
  adaptive: mapping({
    style: oneOf(["adaptive"]),
    efforts,
    always: flag,
    off: v.exactOptional(oneOf(["disabled", "between_tools"])),
    minBudget: v.exactOptional(count),
  }),
  nova: mapping({ style: oneOf(["nova"]), efforts, bareEffort: effort }),
  reasoning_effort: mapping({ style: oneOf(["reasoning_effort"]), efforts, offByDefault: flag }),
  "reasoning.effort": mapping({ style: oneOf(["reasoning.effort"]), efforts }),
};
const unknownStyle = v.custom<never>(
  () => false,
  mustBe(`a mapping whose style is one of ${Object.keys(STYLES).join(", ")}`),
);

const reasoning: Column<Reasoning> = v.lazy((value) => {
  const style = typeof value === "object" && value !== null && "style" in value ? value.style : undefined;
  return Object.entries(STYLES).find(([name]) => name === style)?.[1] ?? unknownStyle;
});

const columns = {
  system: flag,
  streaming: oneOf(["always", "without-tools", "never"]),
  stopSequences: oneOf(["all", "non-blank", "none"]),
  sampling: oneOf(["both", "one", "none"]),
  topK: oneOf(["top_k", "inferenceConfig.topK", "none"]),
  prefill: flag,
  minTokens: count,
  defaultTokens: count,
  maxTokens: count,
  anthropic: flag,
  images: flag,
  documents: flag,
  video: flag,
  audio: flag,
  searchResults: flag,
  tools: flag,
  forcedTools: list(oneOf(["any", "tool"])),
  forcedToolsWhileThinking: flag,
  singleToolCalls: flag,
  strictTools: flag,
  toolUseIds: oneOf(["any", "nine-alphanumeric"]),
  toolResultStatus: flag,
  toolResultJson: flag,
  toolResultMedia: flag,
  toolResultsWithContent: flag,
  jsonSchema: flag,
  reasoning,
  reasoningReplay: oneOf(["signed", "unsigned", "none"]),
  cacheSections: list(oneOf(["tools", "system", "messages"])),
  cacheTtls: list(oneOf(["5m", "1h"])),
  maxCachePoints: count,
} satisfies { readonly [C in keyof Capabilities]-?: Column<NonNullable<Capabilities[C]>> };

/** Every column, each optional. */
export const CAPABILITY_COLUMNS = v.partial(v.object(columns));

/** Its unknown keys are found one by one, with the keys there are as the message (UNKNOWN_KEY in schema.ts). */
function mapping<const E extends v.ObjectEntries>(entries: E): Column<v.InferOutput<v.ObjectSchema<E, undefined>>> {
  return v.objectWithRest(entries, v.never(Object.keys(entries).join(" ")), (issue) =>
    issue.expected?.startsWith('"') ? "is missing" : mustBe("a mapping")(issue),
  );
}

function list<T>(item: Column<T>): Column<T[]> {
  return v.array(item, mustBe("a list"));
}

function oneOf<const T extends string>(words: readonly T[]): Column<T> {
  return v.picklist(words, mustBe(words.map((word) => JSON.stringify(word)).join(" or ")));
}

function mustBe(expected: string) {
  return ({ input }: { input: unknown }) => `must be ${expected}, got ${JSON.stringify(input) ?? "nothing"}`;
}
