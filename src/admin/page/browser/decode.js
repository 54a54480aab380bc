/**
 * Checks what the API answered before anything is shown of it: unknown in, a typed value out, or an error that names the
 * member at fault. Members that nobody asked for are left out.
 */
import { parseUsd } from "./money.js";

/**
 * @template T
 * @typedef {(value: unknown, at: string) => T} Decoder
 */

/** @type {Decoder<string>} */
export function text(value, at) {
  return typeof value === "string" ? value : wrong(at, "a text");
}

/** @type {Decoder<number>} */
export function number(value, at) {
  return typeof value === "number" && Number.isFinite(value) ? value : wrong(at, "a number");
}

/** @type {Decoder<boolean>} */
export function flag(value, at) {
  return typeof value === "boolean" ? value : wrong(at, "true or false");
}

/**
 * ISO 8601 to Unix milliseconds.
 * @type {Decoder<number>}
 */
export function time(value, at) {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? wrong(at, "a time") : ms;
}

/**
 * A decimal in USD to pico-dollars.
 * @type {Decoder<bigint>}
 */
export function usd(value, at) {
  try {
    return parseUsd(text(value, at));
  } catch {
    return wrong(at, "an amount");
  }
}

/** @type {Decoder<unknown>} */
export function anything(value) {
  return value;
}

/**
 * @template T
 * @param {Decoder<T>} decode
 * @returns {Decoder<T | null>}
 */
export function nullable(decode) {
  return (value, at) => (value === null ? null : decode(value, at));
}

/**
 * @template T
 * @param {Decoder<T>} decode
 * @returns {Decoder<T[]>}
 */
export function list(decode) {
  return (value, at) =>
    Array.isArray(value) ? value.map((item, index) => decode(item, `${at}[${index}]`)) : wrong(at, "a list");
}

/**
 * @template T
 * @param {Decoder<T>} decode
 * @returns {Decoder<[string, T][]>}
 */
export function entries(decode) {
  return (value, at) =>
    typeof value === "object" && value !== null
      ? Object.entries(value).map(([name, item]) => [name, decode(item, `${at}.${name}`)])
      : wrong(at, "an object");
}

/**
 * @template {Record<string, Decoder<unknown>>} Members
 * @param {Members} members
 * @returns {Decoder<{ [Name in keyof Members]: ReturnType<Members[Name]> }>}
 */
export function object(members) {
  return (value, at) => {
    if (typeof value !== "object" || value === null) return wrong(at, "an object");
    const given = new Map(Object.entries(value));
    const decoded = Object.entries(members).map(([name, decode]) => [name, decode(given.get(name), `${at}.${name}`)]);
    return Object.fromEntries(decoded);
  };
}

/**
 * @param {string} at
 * @param {string} what
 * @returns {never}
 */
function wrong(at, what) {
  throw new TypeError(`${at} is not ${what}`);
}
