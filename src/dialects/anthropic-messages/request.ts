/**
 * A Messages request as a Converse request: https://docs.anthropic.com/en/api/messages.
 *
 * Unknown fields are ignored and null is absent: clients send fields of previews that this gateway has never heard of.
 * Models' own limits are applied later.
 */
import { assembleRequest } from "../../bedrock/assemble-request.ts";
import type { ConverseRequest } from "../../bedrock/converse.ts";
import type { Intent } from "../../bedrock/intent.ts";
import { type ToolNames, toolNames } from "../../bedrock/tool-names.ts";
import { readFlag, readModel } from "../call-fields.ts";
import type { CallMeta, Conversation } from "../dialect.ts";
import { Field } from "../fields.ts";
import { References } from "../references.ts";
import type { Reading } from "./content.ts";
import { readMessages, readSystem } from "./messages.ts";
import { readInference, readIntent, readRequestSettings, required } from "./settings.ts";
import { readTools } from "./tools.ts";

export interface MessagesRequest extends Omit<Conversation, "reply" | "events" | "closing"> {
  request: ConverseRequest;
  intent: Intent;
  names: ToolNames;
}

/** The prompt alone can be counted without saying how long its answer may be. */
export function readRequest(value: unknown, meta: CallMeta, purpose: "answer" | "count"): MessagesRequest {
  const body = Field.root(value);
  body.object("a JSON object");
  const model = readModel(required(body.at("model")));
  required(body.at("messages"));
  if (purpose === "answer") required(body.at("max_tokens"));
  const stream = purpose === "answer" && readFlag(body.at("stream"));
  const reading: Reading = { names: toolNames(), references: new References(), warnings: new Set() };
  const { names, references, warnings } = reading;
  const { tools, mode, parallel } = readTools(body, names, warnings);
  const assembled = assembleRequest({
    turns: readMessages(body, reading),
    system: readSystem(body.at("system"), reading),
    tools,
    mode,
    inferenceConfig: readInference(body),
    settings: readRequestSettings(body, stream, warnings),
  });
  return {
    model,
    stream,
    request: assembled.request,
    intent: readIntent(body, parallel || tools.length === 0, meta),
    choices: 1,
    remoteImages: references.images,
    storedObjects: references.objects,
    warnings: [...warnings, ...assembled.warnings],
    names,
  };
}
