/** A request's body as JSON. */
import { GatewayError } from "../errors.ts";
import { parseJson } from "../json.ts";

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Throws GatewayError `invalid_request`. */
export function parseBody(body: Buffer): unknown {
  let text: string;
  try {
    text = strictUtf8.decode(body);
  } catch (cause) {
    throw new GatewayError("invalid_request", "The request's body is not valid UTF-8; it must be a JSON object.", {
      cause,
    });
  }
  try {
    return parseJson(text);
  } catch (cause) {
    throw new GatewayError("invalid_request", `The request's body is not valid JSON: ${reason(cause)}`, { cause });
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : "it can't be parsed.";
}
