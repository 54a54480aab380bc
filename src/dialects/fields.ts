/**
 * Reading a parsed JSON body, field by field, with the path that an error has to name.
 *
 * OpenAI's `param` is a path such as `messages[2].content[0].image_url.url`; it is only spelt out when an error needs
 * it. An explicit null is the same as an absent field. Values are shown in messages only where they are keywords: a
 * prompt's text never gets into an error, and so never into a log.
 */
import { GatewayError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../json.ts";

export class Field {
  readonly value: unknown;
  readonly #parent: Field | undefined;
  readonly #key: string | number;

  private constructor(value: unknown, parent: Field | undefined, key: string | number) {
    this.value = value ?? undefined;
    this.#parent = parent;
    this.#key = key;
  }

  static root(body: unknown): Field {
    return new Field(body, undefined, "");
  }

  get absent(): boolean {
    return this.value === undefined;
  }

  get path(): string {
    const parent = this.#parent?.path ?? "";
    if (typeof this.#key === "number") return `${parent}[${this.#key}]`;
    return parent === "" ? this.#key : `${parent}.${this.#key}`;
  }

  /** A member; absent when this is not an object. */
  at(key: string): Field {
    return new Field(isJsonObject(this.value) ? this.value[key] : undefined, this, key);
  }

  items(expected = "an array"): Field[] {
    if (!Array.isArray(this.value)) throw this.mustBe(expected);
    return this.value.map((item, index) => new Field(item, this, index));
  }

  object(expected = "an object"): JsonObject {
    if (!isJsonObject(this.value)) throw this.mustBe(expected);
    return this.value;
  }

  string(expected = "a string"): string {
    if (typeof this.value !== "string") throw this.mustBe(expected);
    return this.value;
  }

  name(expected = "a non-empty string"): string {
    const value = this.string(expected);
    if (value === "") throw this.mustBe(expected);
    return value;
  }

  /** One of the keywords, which must be written exactly. */
  oneOf<K extends string>(keywords: readonly K[]): K {
    const found = keywords.find((keyword) => keyword === this.value);
    if (found === undefined) throw this.mustBeOneOf(keywords);
    return found;
  }

  boolean(): boolean {
    if (typeof this.value !== "boolean") throw this.mustBe("a boolean");
    return this.value;
  }

  number(min: number, max: number): number {
    const value = this.value;
    if (typeof value !== "number" || value < min || value > max) throw this.mustBe(`a number from ${min} to ${max}`);
    return value;
  }

  integer(min: number): number {
    const value = this.value;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min)
      throw this.mustBe(`an integer of at least ${min}`);
    return value;
  }

  /** The error for a value of the wrong kind: says what was expected and what came. */
  mustBe(expected: string): GatewayError {
    return this.error(`must be ${expected}, got ${kindOf(this.value)}`);
  }

  /** The error for a keyword that is not one of those known; shows it. */
  mustBeOneOf(keywords: readonly string[]): GatewayError {
    return this.error(`must be ${alternatives(keywords)}, got ${this.keyword}`);
  }

  /** For messages: the keyword that this should be, or what it is instead. */
  get keyword(): string {
    return typeof this.value === "string" ? quote(this.value) : kindOf(this.value);
  }

  /** The error `<path> <problem>.` with this field as its `param`. */
  error(problem: string): GatewayError {
    const { path } = this;
    if (path === "") return new GatewayError("invalid_request", `The request body ${problem}.`);
    return new GatewayError("invalid_request", `${path} ${problem}.`, { param: path });
  }
}

const QUOTED_LENGTH = 64;

/** Client text for a message or a header: printable ASCII, short, in quotes. */
export function quote(text: string): string {
  const short = text.length > QUOTED_LENGTH ? `${text.slice(0, QUOTED_LENGTH)}...` : text;
  return `"${short.replace(/[^ -~]|["\\]/g, "?")}"`;
}

function alternatives(keywords: readonly string[]): string {
  const quoted = keywords.map((keyword) => `"${keyword}"`);
  if (quoted.length < 2) return quoted.join("");
  return `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
}

function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === "") return "an empty string";
  if (typeof value === "string") return "a string";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") return `the number ${value}`;
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  return isJsonObject(value) ? "an object" : "a number";
}
