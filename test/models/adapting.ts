/** Short ways to adapt a request to a model, for tests. */
import type { ConverseRequest, Message, Tool } from "../../src/bedrock/converse.ts";
import type { Intent } from "../../src/bedrock/intent.ts";
import { GatewayError } from "../../src/errors.ts";
import { type Adapted, adapt } from "../../src/models/adapt.ts";
import { type Capabilities, capabilitiesOf } from "../../src/models/capabilities.ts";
import { judgeConverse } from "../aws-model/judge.ts";
import { brokenRules } from "../aws-model/rules.ts";
import { brokenCapabilities } from "./model-rules.ts";

export const QUESTION: Message = { role: "user", content: [{ text: "Hi" }] };

export interface Asked {
  readonly request?: Partial<ConverseRequest>;
  readonly intent?: Intent;
  readonly stream?: boolean;
  readonly overrides?: Partial<Capabilities>;
}

/** Adapts a request to a foundation model and makes sure that Bedrock would take the result. */
export function adaptTo(model: string, { request, intent = {}, stream = false, overrides = {} }: Asked = {}): Adapted {
  const capabilities = capabilitiesOf(model, [{ match: "*", ...overrides }]);
  const adapted = adapt({ request: { messages: [QUESTION], ...request }, intent, capabilities, stream, model });
  const problems = [
    ...judgeConverse(adapted.request, adapted.stream),
    ...brokenRules(adapted.request),
    ...brokenCapabilities(adapted.request, capabilities, adapted.stream),
  ];
  if (problems.length > 0) throw new Error(`${model}: ${problems.join("; ")}`);
  return adapted;
}

/** `param: message` of the refusal. */
export function refusal(model: string, asked: Asked): string {
  try {
    adaptTo(model, asked);
  } catch (error) {
    if (error instanceof GatewayError && error.code === "invalid_request") return `${error.param}: ${error.message}`;
    throw error;
  }
  throw new Error(`${model} did not refuse`);
}

export function tool(name: string): Tool {
  return { toolSpec: { name, inputSchema: { json: { type: "object" } } } };
}

/** A question, a call of `read` and its result, and more of the user's after it. */
export function toolTurns({ id = "c1", reasoning = [], result = [{ text: "done" }], after = [] }: ToolTurns = {}) {
  const messages: Message[] = [
    QUESTION,
    { role: "assistant", content: [...reasoning, { toolUse: { toolUseId: id, name: "read", input: { a: 1 } } }] },
    { role: "user", content: [{ toolResult: { toolUseId: id, content: result, status: "error" } }, ...after] },
  ];
  return { messages, toolConfig: { tools: [tool("read")] } };
}

interface ToolTurns {
  readonly id?: string;
  readonly reasoning?: Message["content"];
  readonly result?: Extract<Message["content"][number], { toolResult: unknown }>["toolResult"]["content"];
  readonly after?: Message["content"];
}
