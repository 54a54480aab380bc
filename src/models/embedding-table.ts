/**
 * The embedding models: one row for each family, data only.
 *
 * From AWS's user guide (see bedrock/embeddings.ts). A row is found as in capability-table.ts, by the beginning of a
 * foundation model's id; the longest one wins.
 */
import type { EmbeddingApi } from "../bedrock/embeddings.ts";

export interface EmbeddingRow {
  readonly family: string;
  /** Beginnings of foundation model ids. */
  readonly ids: readonly string[];
  readonly api: EmbeddingApi;
  /** How many texts one call takes. */
  readonly textsPerCall: number;
  /** How many images one call takes; 0: the model takes none. */
  readonly imagesPerCall: number;
  /** Characters in one text; undefined where only tokens are counted. */
  readonly maxCharacters?: number;
  /** Lengths of vectors that can be asked for, the model's own first. */
  readonly dimensions: readonly [number, ...number[]];
}

export const EMBEDDING_TABLE: readonly EmbeddingRow[] = [
  {
    family: "Titan Text Embeddings G1",
    ids: ["amazon.titan-embed-text-v1", "amazon.titan-embed-g1-text-"],
    api: "titan-text-v1",
    textsPerCall: 1,
    imagesPerCall: 0,
    maxCharacters: 50_000,
    dimensions: [1536],
  },
  {
    family: "Titan Text Embeddings V2",
    ids: ["amazon.titan-embed-text-v2"],
    api: "titan-text-v2",
    textsPerCall: 1,
    imagesPerCall: 0,
    maxCharacters: 50_000,
    dimensions: [1024, 512, 256],
  },
  {
    family: "Titan Multimodal Embeddings",
    ids: ["amazon.titan-embed-image-"],
    api: "titan-multimodal",
    textsPerCall: 1,
    imagesPerCall: 1,
    dimensions: [1024, 384, 256],
  },
  {
    family: "Cohere Embed 3",
    ids: ["cohere.embed-english-v3", "cohere.embed-multilingual-v3"],
    api: "cohere-v3",
    textsPerCall: 96,
    imagesPerCall: 1,
    maxCharacters: 2_048,
    dimensions: [1024],
  },
  {
    family: "Cohere Embed 4",
    ids: ["cohere.embed-v4"],
    api: "cohere-v4",
    textsPerCall: 96,
    imagesPerCall: 96,
    dimensions: [1536, 1024, 512, 256],
  },
  {
    family: "Nova Multimodal Embeddings",
    ids: ["amazon.nova-2-multimodal-embeddings-"],
    api: "nova",
    textsPerCall: 1,
    imagesPerCall: 1,
    maxCharacters: 8_192,
    dimensions: [3072, 1024, 384, 256],
  },
  {
    family: "Marengo Embed 2.7",
    ids: ["twelvelabs.marengo-embed-2-"],
    api: "marengo-2",
    textsPerCall: 1,
    imagesPerCall: 1,
    dimensions: [1024],
  },
  {
    family: "Marengo Embed 3",
    ids: ["twelvelabs.marengo-embed-3-"],
    api: "marengo-3",
    textsPerCall: 1,
    imagesPerCall: 1,
    dimensions: [512],
  },
];
