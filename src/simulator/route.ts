/** The operation and the resource of a request line, as Bedrock's runtime and control plane name them. */
import type { Operation } from "./recorder.ts";

export interface Route {
  readonly operation: Operation;
  /** The model or profile in the path, decoded. */
  readonly resource: string | undefined;
  readonly query: URLSearchParams;
}

const MODEL_ACTIONS: Readonly<Record<string, Operation>> = {
  converse: "Converse",
  "converse-stream": "ConverseStream",
  invoke: "InvokeModel",
  "invoke-with-response-stream": "InvokeModelWithResponseStream",
  "count-tokens": "CountTokens",
};

/** An id is one segment: a slash inside it has to arrive encoded, or the path is unknown. */
export function route(method: string, target: string): Route {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : target.slice(mark));
  const [empty, collection, id, action, ...rest] = path.split("/");
  const resource = id === undefined || id === "" ? undefined : decode(id);
  const unknown: Route = { operation: "Unknown", resource, query };
  if (empty !== "" || rest.length > 0) return unknown;
  if (method === "POST" && collection === "model" && resource !== undefined && action !== undefined)
    return { operation: MODEL_ACTIONS[action] ?? "Unknown", resource, query };
  if (method !== "GET" || action !== undefined) return unknown;
  if (collection === "foundation-models")
    return { operation: resource === undefined ? "ListFoundationModels" : "GetFoundationModel", resource, query };
  if (collection === "inference-profiles")
    return { operation: resource === undefined ? "ListInferenceProfiles" : "GetInferenceProfile", resource, query };
  return unknown;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
