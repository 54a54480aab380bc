/**
 * InvokeModel for the embedding models: Titan, Cohere Embed and Nova Multimodal Embeddings.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
 * model-parameters-embed.html and the Nova guide. A vector follows from its input alone, has the asked dimension and
 * length one; nearby meanings are not near. Other models' InvokeModel bodies are left out.
 */
import { createHash } from "node:crypto";
import { isJsonObject, type JsonObject, type JsonValue, stringifyJson } from "../json.ts";
import { Refusal } from "./failure.ts";
import { countTokens } from "./token-count.ts";

export interface Embedded {
  readonly body: JsonObject;
  readonly inputTokens: number;
}

/** Answers InvokeModel for `modelId`, a base id. */
export function embed(modelId: string, body: unknown): Embedded {
  if (!isJsonObject(body)) throw invalid("The request body must be a JSON object.");
  if (modelId.startsWith("amazon.titan-embed-")) return titan(modelId, body);
  if (modelId.startsWith("cohere.embed-")) return cohere(modelId, body);
  if (modelId.startsWith("amazon.nova-2-multimodal-embeddings")) return nova(body);
  throw invalid("The simulator answers InvokeModel for embedding models only.");
}

function titan(modelId: string, body: JsonObject): Embedded {
  const { inputText, inputImage } = body;
  if (inputText === undefined && inputImage === undefined) throw invalid("#: required key [inputText] not found");
  if (inputText !== undefined && (typeof inputText !== "string" || inputText === ""))
    throw invalid("expected minLength: 1, actual: 0, please reformat your input and try again.");
  const config = isJsonObject(body.embeddingConfig) ? body.embeddingConfig : {};
  const size =
    modelId.endsWith("-v1") && inputImage === undefined && config.outputEmbeddingLength === undefined ? 1536 : 1024;
  const embedding = vector(inputText ?? inputImage, body.dimensions ?? config.outputEmbeddingLength, size);
  const inputTokens = countTokens(inputText);
  if (!modelId.includes("text-v2")) return { body: { embedding, inputTextTokenCount: inputTokens }, inputTokens };
  return {
    body: { embedding, embeddingsByType: { float: embedding }, inputTextTokenCount: inputTokens },
    inputTokens,
  };
}

function cohere(modelId: string, body: JsonObject): Embedded {
  if (body.input_type === undefined) throw invalid("#: required key [input_type] not found");
  const given = [body.texts, body.images, body.inputs].filter(Array.isArray);
  if (given.length !== 1) throw invalid("Give exactly one of texts, images and inputs.");
  const inputs = given.flat();
  if (inputs.length === 0 || inputs.length > 96) throw invalid("The number of inputs must be between 1 and 96.");
  const size = modelId.includes("embed-v4") ? 1536 : 1024;
  const embeddings = inputs.map((input) => vector(input, body.output_dimension, size));
  const byType = Array.isArray(body.embedding_types) || modelId.includes("embed-v4");
  return {
    body: {
      id: createHash("sha256").update(stringifyJson(inputs)).digest("hex").slice(0, 32),
      texts: Array.isArray(body.texts) ? body.texts : [],
      response_type: byType ? "embeddings_by_type" : "embeddings_floats",
      embeddings: byType ? { float: embeddings } : embeddings,
    },
    inputTokens: countTokens(inputs),
  };
}

function nova(body: JsonObject): Embedded {
  const params = body.singleEmbeddingParams;
  if (body.taskType !== "SINGLE_EMBEDDING" || !isJsonObject(params))
    throw invalid("The simulator answers taskType SINGLE_EMBEDDING with singleEmbeddingParams only.");
  const kind = ["text", "image", "video", "audio"].find((name) => params[name] !== undefined);
  if (kind === undefined) throw invalid("singleEmbeddingParams needs one of text, image, video and audio.");
  const inputTokens = countTokens(params[kind]);
  const embedding = vector(params[kind], params.embeddingDimension, 3072);
  return {
    body: { embeddings: [{ embeddingType: kind.toUpperCase(), embedding }], inputTokenCount: inputTokens },
    inputTokens,
  };
}

function vector(input: JsonValue | undefined, asked: JsonValue | undefined, otherwise: number): number[] {
  const dimension = asked ?? otherwise;
  if (typeof dimension !== "number" || !Number.isInteger(dimension) || dimension < 1 || dimension > 4096)
    throw invalid(`The dimension ${String(dimension)} is not supported.`);
  // SHAKE gives as many bytes as there are numbers, all of them a function of the input.
  const bytes = createHash("shake256", { outputLength: dimension * 2 })
    .update(stringifyJson(input))
    .digest();
  const raw = Array.from({ length: dimension }, (_, index) => bytes.readInt16LE(index * 2));
  const length = Math.hypot(...raw) || 1;
  return raw.map((part) => Math.fround(part / length));
}

function invalid(message: string): Refusal {
  return new Refusal("ValidationException", `Malformed input request: ${message}`);
}
