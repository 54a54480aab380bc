/**
 * InvokeModel for the embedding models: Titan, Cohere Embed, Nova Multimodal Embeddings and Marengo.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
 * model-parameters-embed.html, model-parameters-marengo-3.html and the Nova guide. A vector follows from its input alone, has
 * the asked dimension and length one; nearby meanings are not near. Other models' InvokeModel bodies are left out.
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
  if (modelId.startsWith("amazon.titan-embed-image-")) return titanImage(body);
  if (modelId.startsWith("amazon.titan-embed-")) return titanText(modelId, body);
  if (modelId.startsWith("cohere.embed-v4")) return cohere4(body);
  if (modelId.startsWith("cohere.embed-")) return cohere3(body);
  if (modelId.startsWith("amazon.nova-2-multimodal-embeddings")) return nova(body);
  if (modelId.startsWith("twelvelabs.marengo-embed-")) return marengo(modelId, body);
  throw invalid("The simulator answers InvokeModel for embedding models and Claude only.");
}

function titanText(modelId: string, body: JsonObject): Embedded {
  const second = modelId.includes("-v2");
  onlyKeys(body, second ? ["inputText", "dimensions", "normalize", "embeddingTypes"] : ["inputText"]);
  const text = textOf(body, "inputText", 50_000);
  const embedding = vector(text, body.dimensions, second ? [1024, 512, 256] : [1536]);
  const inputTokens = countTokens(text);
  const byType = second ? { embeddingsByType: { float: embedding } } : {};
  return { body: { embedding, ...byType, inputTextTokenCount: inputTokens }, inputTokens };
}

function titanImage(body: JsonObject): Embedded {
  onlyKeys(body, ["inputText", "inputImage", "embeddingConfig"]);
  const { inputText, inputImage } = body;
  if (inputImage === undefined) textOf(body, "inputText");
  const config = isJsonObject(body.embeddingConfig) ? body.embeddingConfig : {};
  const embedding = vector([inputText ?? null, inputImage ?? null], config.outputEmbeddingLength, [1024, 384, 256]);
  const inputTokens = countTokens(inputText);
  return { body: { embedding, inputTextTokenCount: inputTokens, message: null }, inputTokens };
}

const PURPOSES = ["search_document", "search_query", "classification", "clustering"];

function cohere3(body: JsonObject): Embedded {
  onlyKeys(body, ["texts", "images", "input_type", "truncate", "embedding_types"]);
  const { inputs, images } = cohereInputs(body, 1);
  oneOf(body.input_type, images ? ["image"] : PURPOSES, "input_type");
  oneOf(body.truncate ?? "NONE", ["NONE", "START", "END"], "truncate");
  for (const text of images ? [] : inputs) {
    if (typeof text === "string" && text.length > 2_048)
      throw invalid(`expected maxLength: 2048, actual: ${text.length}, please reformat your input and try again.`);
  }
  const floats = inputs.map((input) => vector(input, undefined, [1024]));
  return cohereAnswer(body, inputs, Array.isArray(body.embedding_types) ? { float: floats } : floats);
}

function cohere4(body: JsonObject): Embedded {
  const keys = [
    "texts",
    "images",
    "inputs",
    "input_type",
    "truncate",
    "embedding_types",
    "output_dimension",
    "max_tokens",
  ];
  onlyKeys(body, keys);
  const { inputs } = cohereInputs(body, 96);
  oneOf(body.input_type, PURPOSES, "input_type");
  oneOf(body.truncate ?? "NONE", ["NONE", "LEFT", "RIGHT"], "truncate");
  const floats = inputs.map((input) => vector(input, body.output_dimension, [1536, 1024, 512, 256]));
  return cohereAnswer(body, inputs, { float: floats });
}

function cohereInputs(body: JsonObject, mostImages: number): { inputs: JsonValue[]; images: boolean } {
  if (body.input_type === undefined) throw invalid("#: required key [input_type] not found");
  const given = [body.texts, body.images, body.inputs].filter(Array.isArray);
  if (given.length !== 1) throw invalid("Give exactly one of texts, images and inputs.");
  const inputs: JsonValue[] = given.flat();
  const images = Array.isArray(body.images);
  const most = images ? mostImages : 96;
  if (inputs.length === 0 || inputs.length > most) throw invalid(`The number of inputs must be between 1 and ${most}.`);
  return { inputs, images };
}

function cohereAnswer(body: JsonObject, inputs: JsonValue[], embeddings: JsonValue): Embedded {
  return {
    body: {
      id: createHash("sha256").update(stringifyJson(inputs)).digest("hex").slice(0, 32),
      texts: Array.isArray(body.texts) ? body.texts : [],
      response_type: Array.isArray(embeddings) ? "embeddings_floats" : "embeddings_by_type",
      embeddings,
    },
    inputTokens: countTokens(inputs),
  };
}

function nova(body: JsonObject): Embedded {
  const params = body.singleEmbeddingParams;
  if (body.taskType !== "SINGLE_EMBEDDING" || !isJsonObject(params))
    throw invalid("The simulator answers taskType SINGLE_EMBEDDING with singleEmbeddingParams only.");
  onlyKeys(params, ["embeddingPurpose", "embeddingDimension", "text", "image", "video", "audio"]);
  const purposes = "GENERIC_INDEX GENERIC_RETRIEVAL TEXT_RETRIEVAL IMAGE_RETRIEVAL VIDEO_RETRIEVAL DOCUMENT_RETRIEVAL";
  oneOf(
    params.embeddingPurpose,
    `${purposes} AUDIO_RETRIEVAL CLASSIFICATION CLUSTERING`.split(" "),
    "embeddingPurpose",
  );
  const kinds = ["text", "image", "video", "audio"].filter((name) => params[name] !== undefined);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) throw invalid("Give exactly one of text, image, video and audio.");
  const { text } = params;
  if (isJsonObject(text)) {
    oneOf(text.truncationMode, ["START", "END", "NONE"], "truncationMode");
    textOf(text, "value", 8_192);
  }
  const inputTokens = countTokens(params[kind]);
  const embedding = vector(params[kind], params.embeddingDimension, [3072, 1024, 384, 256]);
  return { body: { embeddings: [{ embeddingType: kind.toUpperCase(), embedding }] }, inputTokens };
}

function marengo(modelId: string, body: JsonObject): Embedded {
  const third = modelId.includes("-3-");
  const kind = oneOf(body.inputType, ["text", "image"], "inputType");
  const input = third ? body[kind] : body;
  if (!isJsonObject(input)) throw invalid(`#: required key [${kind}] not found`);
  const source = isJsonObject(input.mediaSource) ? input.mediaSource.base64String : undefined;
  if (kind === "image" && typeof source !== "string") throw invalid("#: required key [mediaSource] not found");
  const content = kind === "text" ? textOf(input, "inputText") : (source ?? null);
  return {
    body: { data: [{ embedding: vector(content, undefined, [third ? 512 : 1024]) }] },
    inputTokens: countTokens(content),
  };
}

/** Bedrock checks bodies by a schema, and refuses what it does not know. */
function onlyKeys(body: JsonObject, known: readonly string[]): void {
  const key = Object.keys(body).find((name) => !known.includes(name));
  if (key !== undefined) throw invalid(`#: extraneous key [${key}] is not permitted`);
}

function textOf(body: JsonObject, key: string, most = Number.POSITIVE_INFINITY): string {
  const text = body[key];
  if (text === undefined) throw invalid(`#: required key [${key}] not found`);
  if (typeof text !== "string") throw invalid(`#/${key}: expected type: String`);
  if (text === "") throw invalid("expected minLength: 1, actual: 0, please reformat your input and try again.");
  if (text.length > most)
    throw invalid(`expected maxLength: ${most}, actual: ${text.length}, please reformat your input.`);
  return text;
}

function oneOf(value: JsonValue | undefined, known: readonly string[], key: string): string {
  if (typeof value === "string" && known.includes(value)) return value;
  throw invalid(`#/${key}: ${String(value)} is not a valid enum value`);
}

function vector(
  input: JsonValue | undefined,
  asked: JsonValue | undefined,
  known: readonly [number, ...number[]],
): number[] {
  const dimension = asked ?? known[0];
  if (typeof dimension !== "number" || !known.includes(dimension))
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
