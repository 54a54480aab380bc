/**
 * Method and path to what is asked for. Pure.
 *
 * Clients write base URLs in several ways, so every API path answers with `/v1`, without it, and with it doubled. Unknown
 * paths and wrong methods are told apart before any key is looked at.
 */

import { MODEL_OPERATIONS, type ModelOperation } from "../bedrock/model-call.ts";
import type { Counting, Dialect, Storing } from "../dialects/dialect.ts";
import type { EmbeddingsDialect } from "../dialects/embeddings-dialect.ts";
import { GatewayError } from "../errors.ts";
import { NATIVE_LISTS, type NativeList } from "./native-lists.ts";

export type Route =
  | { readonly kind: "preflight" }
  | { readonly kind: "root" }
  | { readonly kind: "health" }
  | { readonly kind: "models" }
  | { readonly kind: "model"; readonly id: string }
  /** An answer that was stored. */
  | { readonly kind: "stored"; readonly dialect: Dialect; readonly storing: Storing; readonly id: string }
  | { readonly kind: "call"; readonly dialect: Dialect }
  /** A prompt's tokens, and no call. */
  | { readonly kind: "count"; readonly dialect: Dialect; readonly counting: Counting }
  /** Bedrock's own API. */
  | { readonly kind: "native"; readonly operation: ModelOperation; readonly model: string }
  | { readonly kind: "native_list"; readonly list: NativeList }
  | { readonly kind: "embeddings"; readonly dialect: EmbeddingsDialect };

/** What a request with a body asks for. */
export type BodyRoute = Extract<Route, { kind: "call" | "count" | "native" | "embeddings" }>;
export type StoredRoute = Extract<Route, { kind: "stored" }>;
/** What the service answers by itself. */
export type LocalRoute = Exclude<Route, BodyRoute>;

/** What the gateway speaks. */
export interface Dialects {
  readonly dialects: readonly Dialect[];
  readonly embeddings: readonly EmbeddingsDialect[];
}

export function takesBody(route: Route): route is BodyRoute {
  return ["call", "count", "native", "embeddings"].includes(route.kind);
}

/** Throws GatewayError `unknown_path` or `method_not_allowed`. `target` is Envoy's `:path`, with its query. */
export function findRoute(method: string, target: string, dialects: Dialects): Route {
  if (method === "OPTIONS") return { kind: "preflight" };
  const pathname = target.split(/[?#]/, 1)[0] ?? "";
  const route = matchPath(pathname, dialects);
  if (route === undefined) {
    throw new GatewayError(
      "unknown_path",
      `Unknown path: ${printable(method)} ${printable(pathname)}. ${knownPaths(dialects)}`,
    );
  }
  const allowed = takesBody(route) ? ["POST"] : ["GET", "HEAD", ...(route.kind === "stored" ? ["DELETE"] : [])];
  if (allowed.includes(method)) return route;
  throw new GatewayError(
    "method_not_allowed",
    `${printable(pathname)} takes ${allowed[0]}, not ${printable(method)}.`,
    {
      headers: { allow: [...allowed, "OPTIONS"].join(", ") },
    },
  );
}

/** The dialect that a path belongs to by its looks, to give even its errors the right shape. */
export function dialectOf(target: string, dialects: Dialects): Dialect | EmbeddingsDialect | undefined {
  const route = matchPath(target.split(/[?#]/, 1)[0] ?? "", dialects);
  return route !== undefined && "dialect" in route ? route.dialect : undefined;
}

/** Whether a path belongs to Bedrock's own API by its looks. */
export function isNative(target: string): boolean {
  return /^\/(bedrock(?=[/?#]|$)|model\/)/.test(target);
}

function matchPath(pathname: string, { dialects, embeddings }: Dialects): Route | undefined {
  if (isNative(pathname)) return nativeListRoute(pathname) ?? nativeRoute(pathname.replace(/^\/bedrock(?=\/)/, ""));
  const path = withoutVersion(pathname);
  if (path === "") return { kind: "root" };
  if (path === "/healthz") return { kind: "health" };
  if (path === "/models") return { kind: "models" };
  if (path.startsWith("/models/")) return modelRoute(path.slice("/models/".length));
  const dialect = dialects.find((candidate) => candidate.paths.includes(path));
  if (dialect !== undefined) return { kind: "call", dialect };
  const vectors = embeddings.find((candidate) => candidate.paths.includes(path));
  if (vectors !== undefined) return { kind: "embeddings", dialect: vectors };
  return countRoute(path, dialects) ?? storedRoute(path, dialects);
}

function countRoute(path: string, dialects: readonly Dialect[]): Route | undefined {
  for (const dialect of dialects) {
    const { counting } = dialect;
    if (counting?.paths.includes(path)) return { kind: "count", dialect, counting };
  }
  return undefined;
}

function storedRoute(path: string, dialects: readonly Dialect[]): Route | undefined {
  const end = path.lastIndexOf("/");
  const id = path.slice(end + 1);
  for (const dialect of dialects) {
    const { paths, storing } = dialect;
    if (storing !== undefined && id !== "" && paths.includes(path.slice(0, end)))
      return { kind: "stored", dialect, storing, id };
  }
  return undefined;
}

/** Below /bedrock alone, where a client sends all that it asks of AWS. */
function nativeListRoute(pathname: string): Route | undefined {
  const list = NATIVE_LISTS.find((name) => pathname === `/bedrock/${name}`);
  return list && { kind: "native_list", list };
}

/** An ARN's slashes may come as they are: the operation is what follows the last one. */
function nativeRoute(path: string): Route | undefined {
  const end = path.lastIndexOf("/");
  const operation = MODEL_OPERATIONS.find((name) => name === path.slice(end + 1));
  const encoded = path.slice("/model/".length, end);
  if (operation === undefined || !path.startsWith("/model/") || encoded === "") return undefined;
  try {
    return { kind: "native", operation, model: decodeURIComponent(encoded) };
  } catch {
    return undefined;
  }
}

/** Ids hold `:`, `/` and `.`, as they are or percent-encoded. */
function modelRoute(encoded: string): Route | undefined {
  try {
    return { kind: "model", id: decodeURIComponent(encoded) };
  } catch {
    return undefined;
  }
}

function withoutVersion(pathname: string): string {
  return withoutLastSlashes(pathname.replace(/^(\/v1){1,2}(?=\/|$)/, ""));
}

/** Not by a pattern: anybody may send 60,000 slashes, and /\/+$/ spends seconds on them when something follows. */
function withoutLastSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === "/") end -= 1;
  return path.slice(0, end);
}

function knownPaths({ dialects, embeddings }: Dialects): string {
  const paths = [
    ...dialects.flatMap(({ paths, counting }) => [...paths, ...(counting?.paths ?? [])]),
    ...embeddings.flatMap(({ paths }) => paths),
  ];
  const posts = paths.map((path) => `POST /v1${path}`);
  const native = `POST /bedrock/model/{id}/{${MODEL_OPERATIONS.join(",")}}`;
  return `Known are ${[...posts, native, "GET /v1/models", "GET /healthz"].join(", ")}.`;
}

/** What a client wrote, fit for a message: no control characters, not endless. */
function printable(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, "?");
  return clean.length > 200 ? `${clean.slice(0, 200)}…` : clean;
}
