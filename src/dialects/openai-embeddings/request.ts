/**
 * An Embeddings request: https://platform.openai.com/docs/api-reference/embeddings/create.
 *
 * Token ids are refused: they are of OpenAI's own tokenizers and mean something else to every other model. Beyond OpenAI's
 * fields, `input_type` says what the vectors are for, as Cohere and others name it, and an input that is an image's
 * data URL is that image.
 */
import {
  EMBEDDING_PURPOSES,
  type EmbeddingInput,
  type EmbeddingPurpose,
  type EmbeddingsRequest,
} from "../../bedrock/embeddings.ts";
import { imageFormat, parseDataUrl } from "../../bedrock/media.ts";
import { requestMetadata } from "../../bedrock/request-metadata.ts";
import { extension } from "../bedrock-fields.ts";
import { readModel } from "../call-fields.ts";
import type { EmbeddingsCall } from "../embeddings-dialect.ts";
import { Field } from "../fields.ts";

export interface ReadEmbeddings extends Omit<EmbeddingsCall, "reply"> {
  readonly encoding: Encoding;
}

export type Encoding = (typeof ENCODINGS)[number];

/** OpenAI's own limit. */
export const MAX_INPUTS = 2048;

const INPUT = "a string or an array of strings";
const ENCODINGS = ["float", "base64"] as const;
const OTHER_PURPOSES: ReadonlyMap<unknown, EmbeddingPurpose> = new Map([
  ["document", "search_document"],
  ["passage", "search_document"],
  ["query", "search_query"],
]);

export function readRequest(value: unknown): ReadEmbeddings {
  const body = Field.root(value);
  body.object("a JSON object");
  const model = readModel(body.at("model"));
  const encoding = body.at("encoding_format");
  const dimensions = body.at("dimensions");
  const request: EmbeddingsRequest = {
    inputs: readInputs(body.at("input")),
    purpose: readPurpose(extension(body, "input_type", "inputType")),
    ...(!dimensions.absent && { dimensions: dimensions.integer(1) }),
  };
  const user = body.at("user");
  const metadata = requestMetadata(user.absent ? [] : [["user", user.string()]]);
  return {
    model,
    request,
    encoding: encoding.absent ? "float" : encoding.oneOf(ENCODINGS),
    requestMetadata: metadata.requestMetadata ?? {},
    warnings: metadata.warnings,
  };
}

function readInputs(input: Field): EmbeddingInput[] {
  if (typeof input.value === "string") return [readInput(input)];
  const items = input.items(INPUT);
  if (items.length === 0) throw input.mustBe(INPUT);
  if (items.length > MAX_INPUTS) throw input.error(`must have at most ${MAX_INPUTS} inputs`);
  const isTokens = ({ value }: Field): boolean => typeof value === "number" || Array.isArray(value);
  if (items.some(isTokens)) {
    throw input.error(
      "must be text and not token ids, which mean something else to every model: send strings " +
        "(LangChain: check_embedding_ctx_length=False)",
    );
  }
  return items.map(readInput);
}

function readInput(field: Field): EmbeddingInput {
  const { path: param } = field;
  const text = field.name();
  return readImage(text, param) ?? { param, text: text.toWellFormed() };
}

/** An image, when nothing else is there. */
function readImage(text: string, param: string): EmbeddingInput | undefined {
  const data = /^data:image\//i.test(text) ? parseDataUrl(text) : undefined;
  const format = data === undefined ? undefined : imageFormat(data);
  return data === undefined || format === undefined ? undefined : { param, image: { format, bytes: data.bytes } };
}

function readPurpose(type: Field): EmbeddingPurpose {
  if (type.absent) return "search_document";
  return OTHER_PURPOSES.get(type.value) ?? type.oneOf(EMBEDDING_PURPOSES);
}
