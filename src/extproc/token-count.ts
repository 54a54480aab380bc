/**
 * A prompt's tokens without a call: CountTokens for the request that would be sent, or an estimate that says so.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/count-tokens.html. Bedrock counts for some models, by their own ids,
 * for nothing. Clients ask for the count to plan with it: a rough one serves them better than an error.
 */
import { readBody } from "../bedrock/egress.ts";
import { bedrockHttpError } from "../bedrock/errors.ts";
import type { Conversation } from "../dialects/dialect.ts";
import { GatewayError } from "../errors.ts";
import { isJsonObject, parseJson } from "../json.ts";
import type { Attempt } from "../models/call-plan.ts";
import type { Target } from "../models/targets.ts";
import { estimateInputTokens } from "../usage/estimate.ts";
import type { CallServices } from "./call.ts";

export interface TokenCount {
  readonly tokens: number;
  readonly warnings: readonly string[];
}

/** Below Envoy's message timeout: the client's request waits in the ext_proc exchange. */
const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 64 * 1024;
const ESTIMATED = "Bedrock did not count the tokens of this prompt for this model: input_tokens is an estimate";

/** Throws GatewayError when the model can't do what is asked. */
export async function countTokens(
  services: Pick<CallServices, "planner" | "calls" | "egress">,
  conversation: Conversation,
  targets: readonly Target[],
): Promise<TokenCount> {
  const { first } = services.planner.plan({ ...conversation, targets });
  const warnings = [...conversation.warnings, ...first.adapted.warnings];
  try {
    return { tokens: await counted(services, first), warnings };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { tokens: estimateInputTokens(first.adapted.request), warnings: [...warnings, ESTIMATED] };
  }
}

async function counted(
  { calls, egress }: Pick<CallServices, "calls" | "egress">,
  { target, adapted }: Attempt,
): Promise<number> {
  const signed = await calls.prepare({
    region: target.region,
    modelId: target.foundationModel ?? target.modelId,
    stream: false,
    request: adapted.request,
    countOnly: true,
  });
  const { status, headers, body } = await egress(signed, AbortSignal.timeout(TIMEOUT_MS));
  const text = await readBody(body, MAX_ANSWER_BYTES);
  if (status !== 200) throw bedrockHttpError(status, (name) => headers.get(name), text);
  return inputTokens(text);
}

function inputTokens(text: string): number {
  let answer: unknown;
  try {
    answer = parseJson(text);
  } catch (cause) {
    throw new GatewayError("upstream_invalid_response", "Amazon Bedrock's count is not JSON.", { cause });
  }
  const tokens = isJsonObject(answer) ? answer.inputTokens : undefined;
  if (typeof tokens === "number" && Number.isSafeInteger(tokens) && tokens >= 0) return tokens;
  throw new GatewayError("upstream_invalid_response", "Amazon Bedrock's count is no number.");
}
