/**
 * Embeddings: the bodies of InvokeModel for each family of models, and what comes back.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html, titan-embed-mm.html,
 * model-parameters-embed-v3.html, model-parameters-embed-v4.html, model-parameters-marengo.html, model-parameters-marengo-3.html,
 * and https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html. Numbers only: models' packed types
 * (int8, binary) are never asked for. A text that is too long is an error and never cut, so that no vector stands for half of
 * what it should.
 */
import { GatewayError, unreachable } from "../errors.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../json.ts";

/** What is to become one vector. `param` is the field that holds it, for errors. */
export type EmbeddingInput =
  | { readonly param: string; readonly text: string }
  | { readonly param: string; readonly image: EmbeddingImage };

export interface EmbeddingImage {
  readonly format: "png" | "jpeg" | "gif" | "webp";
  /** Base64. */
  readonly bytes: string;
}

/** What the vectors are for, in Cohere's words; models that make no difference ignore it. */
export const EMBEDDING_PURPOSES = ["search_document", "search_query", "classification", "clustering"] as const;
export type EmbeddingPurpose = (typeof EMBEDDING_PURPOSES)[number];

export interface EmbeddingsRequest {
  readonly inputs: readonly EmbeddingInput[];
  readonly purpose: EmbeddingPurpose;
  /** Numbers in a vector; absent: as many as the model gives by itself. */
  readonly dimensions?: number;
}

/** How a family is asked. */
export type EmbeddingApi =
  | "titan-text-v1"
  | "titan-text-v2"
  | "titan-multimodal"
  | "cohere-v3"
  | "cohere-v4"
  | "nova"
  | "marengo-2"
  | "marengo-3";

export interface Embedded {
  /** In the order of the body's inputs. */
  readonly vectors: readonly (readonly number[])[];
  /** Undefined where neither the answer nor its headers say. */
  readonly inputTokens: number | undefined;
}

type Wish = Pick<EmbeddingsRequest, "purpose" | "dimensions">;

/**
 * The body of one call. `inputs` are of one kind, and no more than the model takes at once. A model whose vectors have one
 * length alone is not told it.
 */
export function embeddingBody(api: EmbeddingApi, inputs: readonly EmbeddingInput[], wish: Wish): JsonObject {
  const { purpose, dimensions } = wish;
  const texts = inputs.flatMap((input) => ("text" in input ? [input.text] : []));
  const images = inputs.flatMap((input) => ("image" in input ? [input.image] : []));
  const [text] = texts;
  const [image] = images;
  switch (api) {
    case "titan-text-v1":
      return { inputText: text };
    case "titan-text-v2":
      return { inputText: text, ...(dimensions !== undefined && { dimensions }) };
    case "titan-multimodal":
      return {
        ...(image === undefined ? { inputText: text } : { inputImage: image.bytes }),
        ...(dimensions !== undefined && { embeddingConfig: { outputEmbeddingLength: dimensions } }),
      };
    case "cohere-v3":
      return image === undefined
        ? { texts, input_type: purpose, truncate: "NONE" }
        : { images: images.map(dataUrl), input_type: "image" };
    case "cohere-v4":
      return {
        ...(image === undefined ? { texts } : { images: images.map(dataUrl) }),
        input_type: purpose,
        embedding_types: ["float"],
        ...(dimensions !== undefined && { output_dimension: dimensions }),
        truncate: "NONE",
      };
    case "nova":
      return {
        schemaVersion: "nova-multimodal-embed-v1",
        taskType: "SINGLE_EMBEDDING",
        singleEmbeddingParams: {
          embeddingPurpose: NOVA_PURPOSES[purpose],
          ...(dimensions !== undefined && { embeddingDimension: dimensions }),
          ...(image === undefined
            ? { text: { truncationMode: "NONE", value: text } }
            : { image: { format: image.format, source: { bytes: image.bytes } } }),
        },
      };
    case "marengo-2":
      return image === undefined
        ? { inputType: "text", inputText: text, textTruncate: "none" }
        : { inputType: "image", mediaSource: { base64String: image.bytes } };
    case "marengo-3":
      return image === undefined
        ? { inputType: "text", text: { inputText: text } }
        : { inputType: "image", image: { mediaSource: { base64String: image.bytes } } };
    default:
      return unreachable(api);
  }
}

/**
 * Reads the body of the answer to a call with `count` inputs. `header` gives a response header by its lower-case name. Throws
 * GatewayError `upstream_invalid_response` unless there is a vector of finite numbers for each input, all of one length, and
 * that of `dimensions` where it is known.
 */
export function readEmbeddings(
  body: string,
  count: number,
  dimensions: number | undefined,
  header: (name: string) => string | undefined,
): Embedded {
  const answer = parsed(body);
  const vectors = vectorsIn(answer);
  const length = dimensions ?? vectors[0]?.length ?? 0;
  if (vectors.length !== count) throw invalid(`${vectors.length} vectors for ${count} inputs`);
  if (length === 0) throw invalid("an empty vector");
  const odd = vectors.find((vector) => vector.length !== length);
  if (odd !== undefined) throw invalid(`a vector of ${odd.length} numbers instead of ${length}`);
  const tokens = [answer.inputTextTokenCount, answer.inputTokenCount, headerCount(header)];
  return { vectors, inputTokens: tokens.find(isCount) };
}

/** What a document's index is to Nova, whatever is looked up in it; and a query that may find any kind of document. */
const NOVA_PURPOSES: Readonly<Record<EmbeddingPurpose, string>> = {
  search_document: "GENERIC_INDEX",
  search_query: "GENERIC_RETRIEVAL",
  classification: "CLASSIFICATION",
  clustering: "CLUSTERING",
};

function dataUrl({ format, bytes }: EmbeddingImage): string {
  return `data:image/${format};base64,${bytes}`;
}

/** Not by parseJson: it would keep the digits of long numbers as objects, of which these bodies are full. */
function parsed(body: string): JsonObject {
  try {
    const value: unknown = JSON.parse(body);
    return isJsonObject(value) ? value : {};
  } catch {
    throw invalid("no JSON");
  }
}

/** The families' shapes exclude each other, so what a model answers need not be known beforehand. */
function vectorsIn({ embedding, embeddings, data }: JsonObject): number[][] {
  // Titan
  if (embedding !== undefined) return [vectorOf(embedding)];
  // Cohere, by type or, unasked, as a list; Nova has objects in its list
  if (isJsonObject(embeddings)) return listOf(embeddings.float).map(vectorOf);
  if (embeddings !== undefined) return listOf(embeddings).map(inside).map(vectorOf);
  // Marengo
  return (Array.isArray(data) ? listOf(data) : [data ?? null]).map(inside).map(vectorOf);
}

function inside(item: JsonValue | undefined): JsonValue | undefined {
  return isJsonObject(item) ? item.embedding : item;
}

function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  if (!Array.isArray(value)) throw invalid("no list of vectors");
  return value;
}

function vectorOf(value: JsonValue | undefined): number[] {
  if (!Array.isArray(value)) throw invalid("something else instead of a vector");
  return value.map((part: JsonValue) => {
    if (typeof part !== "number" || !Number.isFinite(part)) throw invalid("a vector with something else than numbers");
    return part;
  });
}

function headerCount(header: (name: string) => string | undefined): number {
  return Number(header("x-amzn-bedrock-input-token-count") ?? Number.NaN);
}

function isCount(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function invalid(problem: string): GatewayError {
  return new GatewayError("upstream_invalid_response", "Bedrock's answer could not be read.", {
    cause: new Error(`Embeddings: ${problem}`),
  });
}
