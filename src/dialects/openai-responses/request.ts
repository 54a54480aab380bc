/**
 * A Responses request as a Converse request, and what its answer repeats of it.
 *
 * https://platform.openai.com/docs/api-reference/responses/create. Unknown fields are ignored and null is absent, as OpenAI
 * does it. Nothing runs here: what would need that is refused by name, tools of OpenAI's own servers are left out with a
 * warning. Models' own limits are applied later.
 */
import { assembleRequest } from "../../bedrock/assemble-request.ts";
import { type ToolNames, toolNames } from "../../bedrock/tool-names.ts";
import { isJsonObject } from "../../json.ts";
import { readFlag, readModel } from "../call-fields.ts";
import type { Conversation, StoredAnswers } from "../dialect.ts";
import { Field } from "../fields.ts";
import type { Reading } from "../openai-content.ts";
import { systemBlocks } from "../openai-history.ts";
import { readItems } from "../openai-input.ts";
import { readInference, readIntent, readRequestSettings } from "../openai-settings.ts";
import { readTools, type SpecialTools } from "../openai-tools.ts";
import { References } from "../references.ts";
import { echoOf } from "./echo.ts";
import { readItemsOf } from "./stored.ts";
import type { Echo } from "./types.ts";

export interface ResponsesRequest extends Omit<Conversation, "reply" | "events" | "closing"> {
  names: ToolNames;
  special: SpecialTools;
  echo: Echo;
  /** What this request has added to the conversation. */
  input: readonly unknown[];
}

const LOG_PROBABILITIES = "message.output_text.logprobs";

/** `stored`: where answers may be stored, what the request refers to. */
export function readRequest(value: unknown, stored?: StoredAnswers): ResponsesRequest {
  const body = Field.root(value);
  body.object("a JSON object");
  const model = readModel(body.at("model"));
  refuseUnsupported(body);
  if (readFlag(body.at("store")) && stored === undefined)
    throw body.at("store").error("must be false or left out: no answers are stored here");
  const stream = readFlag(body.at("stream"));
  const reading: Reading = { names: toolNames(), references: new References(), warnings: new Set() };
  const { names, references, warnings } = reading;
  const { earlier, own } = readItemsOf(body, stored);
  const items = [...earlier, ...own];
  const special: SpecialTools = new Map();
  const { tools, mode } = readTools(body, reading, { items, special });
  const instructions = systemBlocks(body.at("instructions"), body.at("instructions"), reading);
  const history = readItems(items, reading);
  const assembled = assembleRequest({
    turns: history.turns,
    system: [...instructions, ...history.system],
    tools,
    mode,
    inferenceConfig: readInference(body, warnings),
    settings: readRequestSettings(body, stream, warnings),
  });
  return {
    model,
    stream,
    request: assembled.request,
    intent: readIntent(body, tools.length > 0),
    choices: 1,
    remoteImages: references.images,
    storedObjects: references.objects,
    warnings: [...warnings, ...assembled.warnings],
    names,
    special,
    echo: echoOf(body, model, stored !== undefined && body.at("store").value !== false),
    input: own.map(({ value: item }) => item),
  };
}

function refuseUnsupported(body: Field): void {
  const background = body.at("background");
  if (readFlag(background)) throw background.error("must be false: an answer is given at once or as a stream");
  const conversation = body.at("conversation");
  if (!conversation.absent)
    throw conversation.error("must be left out: no conversations are stored here, send all of it as input");
  const prompt = body.at("prompt");
  if (isJsonObject(prompt.value))
    throw prompt.error("must be left out: no prompt templates are stored here, send instructions and input");
  const top = body.at("top_logprobs");
  if (!top.absent && top.value !== 0) throw top.error("must be left out: Bedrock gives no log probabilities");
  const include = body.at("include");
  const wished = include.absent ? undefined : include.items().find((item) => item.value === LOG_PROBABILITIES);
  if (wished !== undefined) throw wished.error("must be left out: Bedrock gives no log probabilities");
}
