/**
 * What metrics and spans have in common: OpenTelemetry's conventions for generative AI, as far as a call of Bedrock's has them.
 *
 * https://github.com/open-telemetry/semantic-conventions-genai (status: development), docs/gen-ai/gen-ai-metrics.md and
 * aws-bedrock.md. Left out: prompts, answers and what a request asks of the model.
 */
import type { Endpoint } from "../bedrock/endpoints.ts";
import { ERROR_KINDS } from "../errors.ts";
import type { CallClosing, CallOpening, TokenUsage } from "../store/store.ts";

export const PROVIDER = "aws.bedrock";

export type Operation = "chat" | "text_completion" | "embeddings";

/** One attempt of a call, as its row in the ledger has it. */
export interface ObservedCall
  extends Pick<CallOpening, "id" | "keyId" | "team" | "dialect" | "modelInvoked" | "region" | "stream" | "startedAt"> {
  readonly foundationModel?: string | undefined;
  /** Undefined: `chat`, which Converse is. */
  readonly operation?: Operation | undefined;
}

/** Hears what becomes of an attempt. */
export interface CallObserver {
  /** Bedrock's answer has begun. */
  answered?(status: number): void;
  /** Once. */
  ended(closing: CallClosing): void;
}

export interface ServerAddress {
  readonly address: string;
  readonly port: number;
}

/** `server.address` and `server.port`: Bedrock's, whatever proxies are in between. */
export function serverAddress({ authority, tls }: Endpoint): ServerAddress {
  const { hostname, port } = new URL(`${tls ? "https" : "http"}://${authority}`);
  return { address: hostname, port: port === "" ? (tls ? 443 : 80) : Number(port) };
}

/** `error.type`: a code of errors.ts, `interrupted` when the client or Bedrock went away; undefined for a whole answer. */
export function errorType({ status, errorCode }: Pick<CallClosing, "status" | "errorCode">): string | undefined {
  switch (status) {
    case "ok":
      return undefined;
    case "interrupted":
      return "interrupted";
    case "error":
      return errorCode !== undefined && Object.hasOwn(ERROR_KINDS, errorCode) ? errorCode : "_OTHER";
  }
}

/** The conventions count cached tokens among the input's. */
export function allInputTokens({ inputTokens, cacheReadTokens, cacheWriteTokens }: TokenUsage): number {
  return inputTokens + cacheReadTokens + cacheWriteTokens;
}

/** Near enough for a graph; the ledger is exact. */
export function inUsd(pico: bigint): number {
  return Number(pico) / 1e12;
}

/** Seconds from the call's start to its first token: only a stream shows when that was. */
export function secondsToFirstToken({ stream, startedAt }: ObservedCall, closing: CallClosing): number | undefined {
  if (!stream || closing.firstTokenAt === undefined) return undefined;
  return seconds(closing.firstTokenAt - startedAt);
}

/** A clock that was set back makes no negative times. */
export function seconds(milliseconds: number): number {
  return Math.max(0, milliseconds) / 1_000;
}
