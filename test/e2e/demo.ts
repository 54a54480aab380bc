/** The demo as a person has it in front of them: its address, its key and the line to paste. */
import { type Environment, type RunningCommand, runMain, runNpm } from "./command.ts";

export interface Demo extends AsyncDisposable {
  readonly command: RunningCommand;
  readonly url: string;
  readonly key: string;
  readonly curlLine: string;
  /** A streamed answer that repeats `words` words, two every 25 ms. */
  stream(words: number, signal?: AbortSignal): Promise<Response>;
}

export async function startDemo(options: { npm?: boolean; env?: Environment } = {}): Promise<Demo> {
  const { npm = true, env } = options;
  const command = await (npm ? runNpm(["run", "demo"], env) : runMain(["demo"], env));
  try {
    await command.prints(/Ctrl-C ends it\./);
    const [, curlLine = ""] = await command.prints(/^ *(curl .*)$/m);
    const [, key = ""] = await command.prints(/^ *(sk-\S+)$/m);
    const [, url = ""] = await command.prints(/is ready on (http:\S+),/);
    return {
      command,
      url,
      key,
      curlLine,
      stream: (words, signal) =>
        fetch(`${url}/v1/chat/completions`, {
          method: "POST",
          headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
          body: JSON.stringify({
            model: "amazon.nova-lite-v1:0",
            stream: true,
            messages: [{ role: "user", content: "word ".repeat(words).trim() }],
          }),
          ...(signal === undefined ? {} : { signal }),
        }),
      [Symbol.asyncDispose]: () => command[Symbol.asyncDispose](),
    };
  } catch (error) {
    await command[Symbol.asyncDispose]();
    throw error;
  }
}
