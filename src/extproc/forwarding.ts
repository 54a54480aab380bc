/**
 * What an exchange forwards: a call of a dialect's, or one in Bedrock's own API. The exchange tells it what Envoy reports,
 * and it writes the answer to the outlet.
 */
import type { SignedCall } from "../bedrock/converse-call.ts";
import type { GatewayError } from "../errors.ts";
import type { AnswerHead, AnswerReader } from "./answer-reader.ts";
import type { Metadata } from "./wire.ts";

export interface Forwarding {
  /**
   * Signs the request and opens its row: what Envoy is to forward. Undefined when the client has gone meanwhile. Throws
   * GatewayError for what is refused.
   */
  prepare(): Promise<SignedCall | undefined>;
  /** For the access log, before anything is known of the answer. */
  startMetadata(): Metadata;
  /** Envoy has it. */
  forwarded(): void;
  /** Envoy has Bedrock's answer. */
  answered(head: AnswerHead): AnswerReader;
  /** Envoy answered in Bedrock's place. `lost`: the request had gone out, and Bedrock may have worked on it. */
  unanswered(error: GatewayError, lost: boolean): Promise<void>;
  /** The client went away, or Bedrock's connection broke: Envoy does not say which. */
  interrupted(): Promise<void>;
}
