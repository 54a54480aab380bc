/**
 * Judges Converse request bodies by AWS's own service model (see generate.py).
 *
 * The model knows names, types, unions, limits and patterns; what Bedrock checks beyond it is in rules.ts.
 */
import { readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { stringifyJson } from "../../src/json.ts";

const schema: unknown = JSON.parse(readFileSync(new URL("converse.schema.json", import.meta.url), "utf8"));
const ajv = new Ajv2020({ allErrors: true, strict: true });
if (typeof schema !== "object" || schema === null) throw new Error("converse.schema.json is not an object");
ajv.addSchema(schema);
const converse = validator("ConverseRequest");
const converseStream = validator("ConverseStreamRequest");

/** What AWS's model finds wrong with a body for Converse, for ConverseStream, or for both; empty when nothing. */
export function judgeConverse(body: unknown, stream?: boolean): string[] {
  const sent: unknown = JSON.parse(stringifyJson(body));
  return [
    ...new Set([
      ...(stream === true ? [] : problems(converse, sent)),
      ...(stream === false ? [] : problems(converseStream, sent)),
    ]),
  ];
}

function problems(validate: ValidateFunction, body: unknown): string[] {
  if (validate(body)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) => {
    return `${instancePath || "/"} ${message} ${JSON.stringify(params)}`;
  });
}

function validator(shape: string): ValidateFunction {
  return ajv.compile({ $ref: `bedrock-runtime#/$defs/${shape}` });
}
