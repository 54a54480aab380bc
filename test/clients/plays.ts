/**
 * What every client is tried with: a streamed answer, a loop of two turns through a tool of its own, and Ctrl-C.
 *
 * A play says what the simulated model answers, and what must be true when the client has ended. The requests are judged by
 * AWS's model (as in every test with `startTestGateway`), the ledger's rows by run.ts.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { JsonObject } from "../../src/json.ts";
import { type Answer, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import type { Client } from "./clients.ts";
import { type Exchange, isEventStream } from "./recording-proxy.ts";

export interface Play {
  readonly what: string;
  readonly task: "answer" | "tools";
  readonly prompt: string;
  /** What the model says to each request. */
  answer(request: RecordedRequest): Answer;
  /** Ctrl-C in the middle of the answer. */
  readonly interrupted?: true;
  check(seen: Seen): void | Promise<void>;
}

export interface Seen {
  readonly exit: number | string;
  readonly output: string;
  /** The folder that the client was started in. */
  readonly work: string;
  readonly exchanges: readonly Exchange[];
  /** What has reached the simulated Bedrock. */
  readonly requests: readonly RecordedRequest[];
}

export function playsFor(client: Client, unique: string): Play[] {
  return [
    streamedAnswer(unique),
    ...(client.tool === undefined ? [] : [toolLoop(client.tool, client.carries ?? [], unique)]),
    ...(client.edits === undefined ? [] : [editLoop(unique)]),
    interruption(unique),
  ];
}

function streamedAnswer(unique: string): Play {
  const text = `Four degrees and rain in ${unique}.`;
  return {
    what: "streamed answer",
    task: "answer",
    prompt: "How warm is it?",
    answer: () => says(text, { pace: 10, chunking: "frames" }),
    check({ exit, output, exchanges, requests }) {
      assert.equal(exit, 0, `it ended with ${exit}`);
      assert.ok(squeezed(output).includes(squeezed(text)), "the answer is not in the output");
      assert.ok(requests.some(isStreaming), "nothing was streamed");
      assert.ok(exchanges.some(({ contentType }) => isEventStream(contentType)));
    },
  };
}

/** The command's output can't be guessed from the command: a shell has to have run it. */
function toolLoop(
  { name, input }: NonNullable<Client["tool"]>,
  carries: NonNullable<Client["carries"]>,
  unique: string,
): Play {
  const thought = `I should count ${unique}.`;
  const reasoning = { reasoningContent: { reasoningText: { text: thought, signature: btoa(unique) } } };
  const said = `The shell has counted for ${unique}.`;
  const result = `${unique}-42`;
  const call: JsonObject = { toolUseId: "tooluse_count", name, input: input(`echo ${unique}-$((6 * 7))`) };
  return {
    what: "tool loop of two turns",
    task: "tools",
    prompt: "Count with the shell.",
    answer(request) {
      if (hasToolResult(request)) return says(said, { pace: 10, chunking: "frames" });
      // Titles and the like are asked for without tools.
      if (!new RegExp(`"name":\\s*"${name}"`).test(request.body)) return says("Counting");
      const content = [reasoning, { text: "Let me count." }, { toolUse: call }];
      return { kind: "message", content, pace: 10, chunking: "frames" };
    },
    check({ exit, output, requests }) {
      assert.equal(exit, 0, `it ended with ${exit}`);
      const second = requests.find(hasToolResult);
      assert.ok(second, "the tool's result did not come back");
      const given = /"(toolResult|tool_result)".*/s.exec(second.body)?.[0].slice(0, 1_000);
      assert.ok(second.body.includes(result), `the tool's result is not what the command prints: ${given}`);
      if (carries.includes("thoughts")) assert.ok(second.body.includes(thought), "what the model thought is lost");
      if (carries.includes("cache points")) assert.match(second.body, /"(cachePoint|cache_control)":/);
      assert.ok(squeezed(output).includes(squeezed(said)), "the last answer is not in the output");
    },
  };
}

/** An edit that does not fit the file, which the client says in its next request, and one that does. */
function editLoop(unique: string): Play {
  const edit = (from: string) =>
    says(`edited.txt\n\`\`\`\n<<<<<<< SEARCH\n${from}\n=======\n${unique}\n>>>>>>> REPLACE\n\`\`\`\n`);
  return {
    what: "edit loop of two turns",
    task: "tools",
    prompt: "Change the word.",
    answer: ({ body }) => edit(body.includes("failed to match") ? "one" : "no such line"),
    async check({ exit, work, requests }) {
      assert.equal(exit, 0, `it ended with ${exit}`);
      assert.equal(requests.length, 2);
      assert.equal(await readFile(join(work, "edited.txt"), "utf8"), `${unique}\n`);
    },
  };
}

function interruption(unique: string): Play {
  const words = Array.from({ length: 300 }, (_, index) => `${unique}-${index}`);
  return {
    what: "Ctrl-C in mid-stream",
    task: "answer",
    prompt: "Count to three hundred.",
    answer: () => says(words.join(" "), { pace: 100, chunking: "frames" }),
    interrupted: true,
    check({ exchanges, requests }) {
      const streams = exchanges.filter(({ contentType }) => isEventStream(contentType));
      assert.ok(
        streams.some(({ complete }) => !complete),
        "the answer was read to its end",
      );
      assert.ok(
        requests.some(({ aborted }) => aborted),
        "Bedrock was not told",
      );
    },
  };
}

function isStreaming({ operation }: RecordedRequest): boolean {
  return operation === "ConverseStream" || operation === "InvokeModelWithResponseStream";
}

function hasToolResult({ body }: RecordedRequest): boolean {
  return /"toolResult":|"type":\s*"tool_result"/.test(body);
}

/** Terminals break lines where they like. */
function squeezed(text: string): string {
  return text.replace(/\s+/g, "");
}
