/**
 * What an embeddings dialect is: a client API for vectors, beside the dialects for conversations.
 *
 * As pure as those, and simpler: one request, one answer, no stream and nothing of Converse. What a model can do is judged
 * where the calls are planned (models/embeddings.ts).
 */
import type { EmbeddingsRequest } from "../bedrock/embeddings.ts";
import type { GatewayError } from "../errors.ts";

export interface EmbeddingsDialect {
  /** Stable name, written to the ledger and the access log. */
  readonly name: string;
  /** As `Dialect.paths`. */
  readonly paths: readonly string[];
  /** Reads a parsed JSON body. Throws GatewayError `invalid_request` with the `param` at fault. */
  decode(body: unknown): EmbeddingsCall;
  /** The body of an error answer, and of Envoy's own local replies. */
  errorBody(error: GatewayError): unknown;
}

/** One decoded request, and how to answer it. */
export interface EmbeddingsCall {
  /** The model as the client wrote it. */
  readonly model: string;
  readonly request: EmbeddingsRequest;
  /** For Bedrock's invocation log. */
  readonly requestMetadata: Readonly<Record<string, string>>;
  /** What was left out of the request harmlessly; sent as the `x-gateway-warning` header. */
  readonly warnings: readonly string[];
  /** The whole answer, from a vector for each input in their order, and the tokens of all calls. */
  reply(vectors: readonly (readonly number[])[], inputTokens: number): unknown;
}
