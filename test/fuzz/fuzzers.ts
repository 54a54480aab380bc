/** The fuzzers, and how to run one: from a seed on, until enough was done or too much time has passed. */
import { fuzzAnswer } from "./answer-stream.ts";
import { fuzzChatBody } from "./chat-body.ts";
import { fuzzCompletionBody } from "./completion-body.ts";
import { fuzzEmbeddings } from "./embeddings.ts";
import { fuzzMessages } from "./messages.ts";
import { fuzzNative } from "./native.ts";
import { fuzzResponsesBody } from "./responses-body.ts";

export const FUZZERS: Readonly<Record<string, (seed: number) => void>> = {
  "chat-body": fuzzChatBody,
  "completion-body": fuzzCompletionBody,
  embeddings: fuzzEmbeddings,
  "responses-body": fuzzResponsesBody,
  messages: fuzzMessages,
  native: fuzzNative,
  "answer-stream": fuzzAnswer,
};

export interface FuzzLimits {
  readonly firstSeed: number;
  readonly iterations: number;
  readonly milliseconds: number;
}

/** How many seeds were tried. Throws at the first that fails, and names it. */
export function fuzz(name: string, { firstSeed, iterations, milliseconds }: FuzzLimits): number {
  const run = FUZZERS[name];
  if (run === undefined) throw new Error(`no fuzzer ${name}: ${Object.keys(FUZZERS).join(", ")}`);
  const end = performance.now() + milliseconds;
  let done = 0;
  for (; done < iterations && performance.now() < end; done += 1) {
    const seed = firstSeed + done;
    try {
      run(seed);
    } catch (cause) {
      throw new Error(`npm run fuzz -- --only ${name} --seed ${seed} --iterations 1`, { cause });
    }
  }
  return done;
}
