/**
 * The admin API, as the page calls it. What goes wrong is said in words that can be shown.
 */
import * as shapes from "./shapes.js";

/** @typedef {import("./range.js").Range} Range */

/** What the gateway answered instead, or why there is no answer; the message is for the person at the screen. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, field?: string | undefined, cause?: unknown }} [options]
   */
  constructor(message, { status, field, cause } = {}) {
    super(message, { cause });
    this.name = "ApiError";
    this.status = status;
    /** The setting at fault. */
    this.field = field;
  }

  /** There is no session, or it has ended. */
  get signedOut() {
    return this.status === 401;
  }
}

const TIMEOUT_MS = 20_000;
/** The API tells latencies of at most 92 days. */
const MAX_LATENCY_MS = 92 * 86_400_000;

export const api = {
  session: () => send("GET", "/session", shapes.nothing),
  /** @param {string} token */
  signIn: (token) => send("POST", "/session", shapes.nothing, { token }),
  signOut: () => send("DELETE", "/session", shapes.nothing),

  /**
   * @param {"key" | "team" | "model" | "day"} by
   * @param {Range} range
   */
  usage: (by, range) => send("GET", `/usage?${query({ by, ...span(range) })}`, shapes.usage(by)),
  /**
   * @param {"key" | "team" | "model" | "all"} by
   * @param {Range} range
   */
  series: (by, range) =>
    send("GET", `/usage/series?${query({ by, bucket: range.bucket, ...span(range) })}`, shapes.series),
  /**
   * Of the end of the range, where it is longer than latencies are told for.
   * @param {Range} range
   */
  latency: ({ from, to, bucket }) => {
    const recent = { from: Math.max(from, to - MAX_LATENCY_MS), to, bucket };
    return send("GET", `/latency?${query(span(recent))}`, shapes.latency);
  },
  budgets: () => send("GET", "/budgets", shapes.budgets),
  /** @param {Record<string, string | undefined>} filter */
  calls: (filter) => send("GET", `/calls?${query(filter)}`, shapes.calls),
  /** @param {Record<string, string | undefined>} filter */
  audit: (filter) => send("GET", `/audit?${query(filter)}`, shapes.audit),

  keys: () => send("GET", "/keys", shapes.keys),
  /** @param {object} settings */
  createKey: (settings) => send("POST", "/keys", shapes.issuedKey, settings),
  /**
   * @param {string} id
   * @param {object} changes
   */
  updateKey: (id, changes) => send("PATCH", `/keys/${encodeURIComponent(id)}`, shapes.anything, changes),
  /**
   * @param {string} id
   * @param {"block" | "unblock" | "revoke"} action
   */
  changeKey: (id, action) => send("POST", `/keys/${encodeURIComponent(id)}/${action}`, shapes.anything),
  /**
   * @param {string} id
   * @param {string} grace  How long the old secret still works, such as `1h`
   */
  rotateKey: (id, grace) => send("POST", `/keys/${encodeURIComponent(id)}/rotate`, shapes.issuedKey, { grace }),

  teams: () => send("GET", "/teams", shapes.teams),
  /**
   * @param {string} name
   * @param {object} settings
   */
  setTeam: (name, settings) => send("PUT", `/teams/${encodeURIComponent(name)}`, shapes.anything, settings),
  /** @param {string} name */
  removeTeam: (name) => send("DELETE", `/teams/${encodeURIComponent(name)}`, shapes.nothing),
};

/**
 * Where the same rows are as a file.
 * @param {"key" | "team" | "model"} by
 * @param {Range} range
 */
export function usageCsv(by, range) {
  return `/api/usage?${query({ by, format: "csv", ...span(range) })}`;
}

/**
 * @template T
 * @param {string} method
 * @param {string} path
 * @param {import("./decode.js").Decoder<T>} decode
 * @param {object} [body]
 * @returns {Promise<T>}
 */
async function send(method, path, decode, body) {
  const answer = await reach(path, {
    method,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const content = await parse(answer);
  if (!answer.ok) throw refusal(answer, content);
  try {
    return decode(content, "answer");
  } catch (cause) {
    throw new ApiError(`The gateway's answer can't be read: ${cause instanceof Error ? cause.message : cause}.`, {
      cause,
    });
  }
}

/**
 * @param {string} path
 * @param {RequestInit} init
 */
async function reach(path, init) {
  try {
    return await fetch(`/api${path}`, init);
  } catch (cause) {
    const slow = cause instanceof DOMException && cause.name === "TimeoutError";
    const message = slow ? "The gateway did not answer in time." : "The gateway can't be reached.";
    throw new ApiError(message, { cause });
  }
}

/** @param {Response} answer */
async function parse(answer) {
  try {
    const content = await answer.text();
    return content === "" ? undefined : JSON.parse(content);
  } catch {
    return undefined;
  }
}

/**
 * @param {Response} answer
 * @param {unknown} content
 */
function refusal({ status }, content) {
  try {
    const { error } = shapes.refusal(content, "answer");
    return new ApiError(error.message, { status, field: typeof error.field === "string" ? error.field : undefined });
  } catch {
    return new ApiError(`The gateway answered with status ${status}.`, { status });
  }
}

/** @param {Range} range */
function span({ from, to }) {
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
}

/** @param {Record<string, string | undefined>} parameters */
function query(parameters) {
  const given = Object.entries(parameters).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  return new URLSearchParams(given).toString();
}
