/**
 * What every dialect promises of any request, tried with all of its golden ones: null is absent, what is unknown is
 * ignored, and the same words ask Bedrock for the same bytes.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { Dialect } from "../../src/dialects/dialect.ts";
import { dialects } from "../../src/dialects/index.ts";
import { toGatewayError } from "../../src/errors.ts";
import { isJsonObject, parseJson, stringifyJson } from "../../src/json.ts";

const META = { id: "1", created: 1 };
/** Members whose object is the client's own: nothing in there is a field. */
const OWN = new Set([
  "action",
  "additionalModelRequestFields",
  "additional_model_request_fields",
  "arguments",
  "input",
  "input_schema",
  "metadata",
  "operation",
  "parameters",
  "properties",
  "schema",
]);

type Path = readonly (string | number)[];

for (const dialect of dialects) {
  const folder = new URL(`../golden/${dialect.name}/`, import.meta.url);
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".request.json"),
  );

  describe(`any request of ${dialect.name}`, () => {
    for (const name of names) {
      const read = () => parseJson(readFileSync(new URL(name, folder), "utf8"));
      it(`${name} asks for the same each time`, () => {
        assert.equal(outcome(dialect, read()), outcome(dialect, read()));
      });

      it(`${name} with a null means what it does without the field`, () => {
        for (const path of members(read())) {
          const without = outcome(dialect, changed(read(), path, undefined));
          assert.equal(outcome(dialect, changed(read(), path, null)), without, path.join("."));
        }
      });

      it(`${name} with fields of tomorrow means what it does without them`, () => {
        const before = outcome(dialect, read());
        for (const path of [...objects(read())]) {
          const more = changed(read(), [...path, "field_of_tomorrow"], { type: "x", a: [1, null] });
          assert.equal(outcome(dialect, more), before, path.join("."));
        }
      });
    }
  });
}

/** What Bedrock is asked for, or the error that the client gets. */
function outcome(dialect: Dialect, body: unknown): string {
  try {
    const { request, requests, intent, stream, choices, warnings } = dialect.decode(body, META);
    return stringifyJson({ request, requests, intent, stream, choices, warnings });
  } catch (error) {
    const failure = toGatewayError(error);
    assert.equal(failure.code, "invalid_request", `${failure.cause}`);
    return stringifyJson(dialect.errorBody(failure));
  }
}

/** All objects in a body that are the API's, outermost first. */
function* objects(value: unknown, path: Path = []): Iterable<Path> {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* objects(item, [...path, index]);
  } else if (isJsonObject(value) && !("stdout" in value)) {
    // What a shell has printed goes to the model as it is.
    yield path;
    for (const [key, inner] of Object.entries(value))
      if (!OWN.has(key) || Array.isArray(inner)) yield* objects(inner, [...path, key]);
  }
}

/** All members of those objects. */
function* members(body: unknown): Iterable<Path> {
  for (const path of objects(body)) {
    const holder = path.reduce<unknown>((value, key) => Reflect.get(Object(value), key), body);
    for (const key of Object.keys(Object(holder))) yield [...path, key];
  }
}

function changed(body: unknown, path: Path, value: unknown): unknown {
  const key = path.at(-1);
  const holder = path.slice(0, -1).reduce<unknown>((inner, step) => Reflect.get(Object(inner), step), body);
  assert.ok(key !== undefined && typeof holder === "object" && holder !== null);
  if (value === undefined) Reflect.deleteProperty(holder, key);
  else Reflect.set(holder, key, value);
  return body;
}
