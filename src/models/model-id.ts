/**
 * What a model id says by itself, without asking AWS.
 *
 * An id is a foundation model's (`amazon.nova-lite-v1:0`), an inference profile's (the same with a geography in front) or
 * an ARN. https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
 */
import { GatewayError } from "../errors.ts";

/** Geographies that system-defined inference profiles are named by. */
const GEOGRAPHY = /^(global|us|eu|apac|jp|au|in|ca|sa|amer|us-gov)\.(?=[a-z0-9-]+\.)/;

/** What Bedrock's own pattern for modelId lets through, and nothing that a path could stumble over. */
const MODEL_ID = /^(?!(?:[^/]*\/)*\.{1,2}(?:\/|$))[A-Za-z0-9._:/-]{1,2048}$/;

/** Throws GatewayError `model_not_found` for what cannot be a Bedrock id, so that it never becomes part of a path. */
export function assertModelId(id: string): void {
  if (MODEL_ID.test(id)) return;
  throw new GatewayError(
    "model_not_found",
    "model is not an id that Amazon Bedrock can have: letters, digits and . _ : / - only. GET /v1/models lists the ids.",
    { param: "model" },
  );
}

/** True for the ARN of an application inference profile, whose model only AWS can tell. */
export function isApplicationProfile(id: string): boolean {
  return /^arn:[^:]+:bedrock:[^:]*:[^:]*:application-inference-profile\//.test(id);
}

/** The foundation model behind an id, as far as the id tells: without its ARN's prefix and without its geography. */
export function foundationModelOf(id: string): string {
  const name = id.startsWith("arn:") ? id.slice(id.lastIndexOf("/") + 1) : id;
  return name.replace(GEOGRAPHY, "");
}
