/**
 * The tokens of all calls that one request made, as Chat Completions and Completions count them.
 *
 * https://platform.openai.com/docs/api-reference/chat/object#chat-object-usage. Each choice is a call of its own, and each
 * call pays for its prompt, so prompts add up too. Reasoning tokens are part of Bedrock's output tokens.
 */
import type { TokenUsage } from "../bedrock/converse.ts";
import { reasoningTokens } from "../bedrock/reasoning-tokens.ts";
import type { JsonValue } from "../json.ts";

/** `prompt_tokens` holds everything that went in, cached or not, so that total = prompt + completion. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number; cache_write_tokens: number };
  /** Only when the model tells them; they are part of `completion_tokens`. */
  completion_tokens_details?: { reasoning_tokens: number };
}

export class UsageTotal {
  #calls = 0;
  #input = 0;
  #read = 0;
  #written = 0;
  #output = 0;
  #reasoning: number | undefined;
  #tier: string | undefined;

  /** `fields` are the answer's `additionalModelResponseFields`. */
  add(tokens: TokenUsage, fields: JsonValue | undefined, tier: string | undefined): void {
    this.#calls += 1;
    this.#input += tokens.inputTokens;
    this.#read += tokens.cacheReadInputTokens ?? 0;
    this.#written += tokens.cacheWriteInputTokens ?? 0;
    this.#output += tokens.outputTokens;
    const reasoning = reasoningTokens(fields);
    if (reasoning !== undefined) this.#reasoning = (this.#reasoning ?? 0) + reasoning;
    this.#tier ??= tier;
  }

  /** True when no call told its tokens. */
  get empty(): boolean {
    return this.#calls === 0;
  }

  /** `usage`, and the tier that was charged. */
  members(): { usage: Usage; service_tier?: string } {
    const prompt = this.#input + this.#read + this.#written;
    const reasoning = this.#reasoning === undefined ? undefined : Math.min(this.#reasoning, this.#output);
    return {
      usage: {
        prompt_tokens: prompt,
        completion_tokens: this.#output,
        total_tokens: prompt + this.#output,
        prompt_tokens_details: { cached_tokens: this.#read, cache_write_tokens: this.#written },
        ...(reasoning !== undefined && { completion_tokens_details: { reasoning_tokens: reasoning } }),
      },
      ...(this.#tier !== undefined && { service_tier: this.#tier }),
    };
  }
}
