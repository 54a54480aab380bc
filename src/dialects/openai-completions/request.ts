/**
 * A Completions request as Converse requests, one for each answer.
 *
 * https://platform.openai.com/docs/api-reference/completions/create. A prompt is the user's one message: models that chat
 * answer it as OpenAI's instruct models do. With a `suffix`, or the tokens of a code model, it is a gap to be filled.
 * Without `max_tokens` the model's own default holds and not OpenAI's 16 tokens, which would cut most answers in the middle
 * of a sentence. Models are asked not to think: a completion has no place for it, and its few tokens are for the text.
 */
import { repairConversation } from "../../bedrock/conversation.ts";
import type { ConverseRequest, InferenceConfig } from "../../bedrock/converse.ts";
import type { Intent } from "../../bedrock/intent.ts";
import { GatewayError } from "../../errors.ts";
import { readFlag, readModel } from "../call-fields.ts";
import type { Conversation } from "../dialect.ts";
import { Field } from "../fields.ts";
import { readInference, readIntent, readRequestSettings } from "../openai-settings.ts";
import { CLOSING_TAG, type Gap, instruct, readTemplate } from "./fill-in-the-middle.ts";
import { stopsForModel } from "./stops.ts";

/** What becomes of one answer. */
export interface Answer {
  readonly prompt: string;
  readonly gap: Gap | undefined;
}

export interface CompletionRequest extends Omit<Conversation, "reply" | "events" | "closing"> {
  /** One for each choice. */
  readonly answers: readonly Answer[];
  /** What the text ends at. */
  readonly stops: readonly string[];
  /** The prompt is to stand before the text. */
  readonly echo: boolean;
  readonly includeUsage: boolean;
}

/** Prompts times `n`: each is a call of its own, and all are made at once. Clients that batch send 20. */
export const MAX_COMPLETIONS = 20;

const PROMPT = "a string or an array of strings";
const MAX_STOPS = 64;
const MAX_STOP_LENGTH = 256;

export function readRequest(value: unknown): CompletionRequest {
  const body = Field.root(value);
  body.object("a JSON object");
  const model = readModel(body.at("model"));
  const prompts = readPrompts(body.at("prompt"));
  const copies = readCopies(body.at("n"), prompts.length);
  refuseUnsupported(body, copies);
  const stream = readFlag(body.at("stream"));
  const warnings = new Set<string>();
  const { stopSequences: stops = [], ...inference } = readInference(body, warnings);
  checkStops(body.at("stop"), stops);
  const settings = readRequestSettings(body, stream, warnings);
  const suffix = body.at("suffix").absent ? "" : body.at("suffix").string();
  const answers = prompts.map((prompt) => ({ prompt, gap: readGap(prompt, suffix) }));
  const requests = answers.map((answer) => ({ ...converse(answer, inference, stops), ...settings }));
  const [request] = requests;
  if (request === undefined) throw body.at("prompt").mustBe(PROMPT);
  return {
    model,
    stream,
    request,
    ...(requests.length > 1 && { requests: repeatEach(requests, copies) }),
    intent: readWishes(body),
    choices: requests.length * copies,
    remoteImages: [],
    storedObjects: [],
    warnings: [...warnings],
    answers: repeatEach(answers, copies),
    stops,
    echo: readFlag(body.at("echo")),
    includeUsage: readFlag(body.at("stream_options").at("include_usage")),
  };
}

function readPrompts(prompt: Field): string[] {
  if (typeof prompt.value === "string") return [prompt.value];
  const items = prompt.items(PROMPT);
  if (items.length === 0) throw prompt.mustBe(PROMPT);
  return items.map((item) => {
    if (typeof item.value === "number" || Array.isArray(item.value))
      throw prompt.error("must be text and not token ids, which mean something else to every model");
    return item.string();
  });
}

function readCopies(n: Field, prompts: number): number {
  const copies = n.absent ? 1 : n.integer(1);
  if (copies * prompts <= MAX_COMPLETIONS) return copies;
  const field = prompts > MAX_COMPLETIONS ? "prompt" : "n";
  throw new GatewayError(
    "invalid_request",
    `A request can ask for at most ${MAX_COMPLETIONS} completions: prompts times n.`,
    { param: field },
  );
}

function refuseUnsupported(body: Field, copies: number): void {
  const logprobs = body.at("logprobs");
  if (!logprobs.absent && logprobs.value !== false)
    throw logprobs.error("must be left out: Bedrock gives no log probabilities");
  const bestOf = body.at("best_of");
  if (!bestOf.absent && bestOf.integer(1) > copies)
    throw bestOf.error("must not be larger than n: without log probabilities there is no best one");
}

function checkStops(field: Field, stops: readonly string[]): void {
  if (stops.length > MAX_STOPS) throw field.error(`must have at most ${MAX_STOPS} strings`);
  if (stops.some((stop) => stop.length > MAX_STOP_LENGTH))
    throw field.error(`must have strings of at most ${MAX_STOP_LENGTH} characters`);
}

function readGap(prompt: string, suffix: string): Gap | undefined {
  return suffix === "" ? readTemplate(prompt) : { context: "", prefix: prompt, suffix };
}

function converse({ prompt, gap }: Answer, inference: InferenceConfig, stops: readonly string[]): ConverseRequest {
  const { system, text } = gap === undefined ? { system: "", text: prompt } : instruct(gap);
  // The model's words around the gap's text are not the client's to stop at.
  const stopSequences = gap === undefined ? stopsForModel(stops) : [CLOSING_TAG];
  const inferenceConfig = { ...inference, ...(stopSequences.length > 0 && { stopSequences }) };
  return {
    messages: repairConversation([{ role: "user", content: [{ text }] }]).messages,
    ...(system !== "" && { system: [{ text: system }] }),
    ...(Object.keys(inferenceConfig).length > 0 && { inferenceConfig }),
  };
}

function readWishes(body: Field): Intent {
  const intent = readIntent(body, false);
  return intent.effort === undefined && intent.thinking === undefined ? { effort: "none", ...intent } : intent;
}

/** The order in which OpenAI numbers choices: all of the first prompt, then all of the second. */
function repeatEach<T>(list: readonly T[], times: number): T[] {
  return list.flatMap((item) => Array.from({ length: times }, () => item));
}
