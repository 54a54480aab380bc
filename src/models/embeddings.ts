/**
 * A request for embeddings as calls that one model takes.
 *
 * Most models take one input at a time, so a request becomes many calls; each says which inputs it holds, and whoever makes
 * them may do so in any order. Pure: the same request gives the same bodies.
 */
import {
  type Embedded,
  type EmbeddingInput,
  type EmbeddingsRequest,
  embeddingBody,
  readEmbeddings,
} from "../bedrock/embeddings.ts";
import { GatewayError } from "../errors.ts";
import { stringifyJson } from "../json.ts";
import { EMBEDDING_TABLE, type EmbeddingRow } from "./embedding-table.ts";
import { foundationModelOf } from "./model-id.ts";

/** One InvokeModel call. */
export interface EmbeddingBatch {
  /** Places of its inputs in the request, in the body's order. */
  readonly indexes: readonly number[];
  readonly body: Buffer;
  /**
   * The vectors in the answer's body, in the order of `indexes`. `header` gives a response header by its lower-case name. Throws
   * GatewayError `upstream_invalid_response`.
   */
  read(body: string, header: (name: string) => string | undefined): Embedded;
}

/** InvokeModel takes 25,000,000 bytes. */
const MAX_BATCH_BYTES = 20_000_000;

/** The row of a model, by a foundation model's id or ARN or a system profile's; undefined where it makes no embeddings. */
export function embeddingRow(modelId: string): EmbeddingRow | undefined {
  const id = foundationModelOf(modelId);
  let found: EmbeddingRow | undefined;
  let length = 0;
  for (const row of EMBEDDING_TABLE) {
    for (const beginning of row.ids) {
      if (beginning.length <= length || !id.startsWith(beginning)) continue;
      found = row;
      length = beginning.length;
    }
  }
  return found;
}

/**
 * The calls for `request`, at least one. `model` is the foundation model behind what the client asked for. Throws GatewayError
 * for a model without embeddings and for what the model can't take.
 */
export function planEmbeddings(request: EmbeddingsRequest, model: string): EmbeddingBatch[] {
  const row = embeddingRow(model);
  if (row === undefined) {
    throw new GatewayError("model_not_supported", `This model makes no embeddings. ${knownModels()}`, {
      param: "model",
    });
  }
  const { inputs, dimensions } = request;
  checkDimensions(dimensions, row);
  for (const input of inputs) checkInput(input, row);
  return batchesOf(inputs, row).map((indexes) => {
    const held = indexes.flatMap((index) => inputs[index] ?? []);
    return {
      indexes,
      body: Buffer.from(stringifyJson(embeddingBody(row.api, held, request))),
      read: (body, header) => readEmbeddings(body, held.length, dimensions, header),
    };
  });
}

function checkDimensions(asked: number | undefined, { family, dimensions }: EmbeddingRow): void {
  if (asked === undefined || dimensions.includes(asked)) return;
  const list = dimensions.toSorted((a, b) => a - b).join(", ");
  throw new GatewayError("invalid_request", `dimensions must be one of those that ${family} has: ${list}.`, {
    param: "dimensions",
  });
}

function checkInput(input: EmbeddingInput, { family, maxCharacters, imagesPerCall }: EmbeddingRow): void {
  const refuse = (problem: string): GatewayError =>
    new GatewayError("invalid_request", `${input.param} ${problem}.`, { param: input.param });
  if ("image" in input) {
    if (imagesPerCall === 0) throw refuse(`must be text: ${family} takes no images`);
  } else if (maxCharacters !== undefined && input.text.length > maxCharacters) {
    const length = characters(input.text);
    if (length > maxCharacters)
      throw refuse(`has ${length} characters, and ${family} takes at most ${maxCharacters}: send it in pieces`);
  }
}

/** As AWS counts them: a pair of surrogates is one. */
function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** Texts and images apart, each as full as the model takes it. */
function batchesOf(inputs: readonly EmbeddingInput[], row: EmbeddingRow): number[][] {
  const places = inputs.map((_, index) => index);
  const isImage = (index: number): boolean => "image" in (inputs[index] ?? {});
  const sizeOf = (index: number): number => sizeInBody(inputs[index]);
  return [
    ...batches(
      places.filter((index) => !isImage(index)),
      row.textsPerCall,
      sizeOf,
    ),
    ...batches(places.filter(isImage), row.imagesPerCall, sizeOf),
  ];
}

function* batches(places: readonly number[], count: number, sizeOf: (index: number) => number): Iterable<number[]> {
  let batch: number[] = [];
  let size = 0;
  for (const index of places) {
    const more = sizeOf(index);
    if (batch.length > 0 && (batch.length === count || size + more > MAX_BATCH_BYTES)) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(index);
    size += more;
  }
  if (batch.length > 0) yield batch;
}

/** In bytes, as JSON writes it. */
function sizeInBody(input: EmbeddingInput | undefined): number {
  if (input === undefined) return 0;
  return "text" in input ? Buffer.byteLength(JSON.stringify(input.text)) : input.image.bytes.length + 64;
}

function knownModels(): string {
  return `Those that do begin with ${EMBEDDING_TABLE.flatMap(({ ids }) => ids).join(", ")}.`;
}
