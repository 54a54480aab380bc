/**
 * A Chat Completions request as a Converse request.
 *
 * https://platform.openai.com/docs/api-reference/chat/create. Unknown fields are ignored and null is absent, as OpenAI
 * does it. Bodies of Responses (`input`, `instructions`) and of Anthropic's Messages (`system`, `stop_sequences`), which
 * clients post to this path for some model names, are read as well. Models' own limits are applied later.
 */
import { assembleRequest } from "../../bedrock/assemble-request.ts";
import type { ConverseRequest } from "../../bedrock/converse.ts";
import type { Intent } from "../../bedrock/intent.ts";
import { type ToolNames, toolNames } from "../../bedrock/tool-names.ts";
import { cachePointOf } from "../cache-control.ts";
import { readFlag, readModel } from "../call-fields.ts";
import type { Conversation } from "../dialect.ts";
import { Field } from "../fields.ts";
import type { Reading } from "../openai-content.ts";
import { type History, systemBlocks } from "../openai-history.ts";
import { inputItems, readItems } from "../openai-input.ts";
import { readInference, readIntent, readRequestSettings } from "../openai-settings.ts";
import { readTools } from "../openai-tools.ts";
import { References } from "../references.ts";
import { readMessages } from "./messages.ts";
import { readChoices, refuseUnsupported } from "./settings.ts";

export interface ChatRequest extends Omit<Conversation, "reply" | "events" | "closing"> {
  request: ConverseRequest;
  intent: Intent;
  names: ToolNames;
  includeUsage: boolean;
  /** The client offered retired `functions`, so it wants `function_call` in return. */
  asFunctions: boolean;
}

export function readRequest(value: unknown): ChatRequest {
  const body = Field.root(value);
  body.object("a JSON object");
  const model = readModel(body.at("model"));
  refuseUnsupported(body);
  const stream = readFlag(body.at("stream"));
  const reading: Reading = { names: toolNames(), references: new References(), warnings: new Set() };
  const { names, references, warnings } = reading;
  const responses = body.at("messages").absent && !body.at("input").absent;
  const items = responses ? inputItems(body.at("input")) : [];
  const { tools, mode, asFunctions } = readTools(body, reading, { items });
  const history = readHistory(body, items, reading);
  const assembled = assembleRequest({
    turns: history.turns,
    system: history.system,
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
    choices: readChoices(body.at("n")),
    remoteImages: references.images,
    storedObjects: references.objects,
    warnings: [...warnings, ...assembled.warnings],
    names,
    includeUsage: readFlag(body.at("stream_options").at("include_usage")),
    asFunctions,
  };
}

/** The conversation, in items where it came as a body of Responses, and the instructions that other APIs keep beside it. */
function readHistory(body: Field, items: readonly Field[], reading: Reading): History {
  const { system, turns } = items.length > 0 ? readItems(items, reading) : readMessages(body.at("messages"), reading);
  const beside = [body.at("instructions"), body.at("system")].flatMap((field) => systemBlocks(field, field, reading));
  // Anthropic's cache_control on the request itself: behind the last message.
  const last = turns.at(-1);
  if (last !== undefined) last.content = [...last.content, ...cachePointOf(body)];
  return { system: [...beside, ...system], turns };
}
