/**
 * What a dialect is: one client API, translated to and from Converse and to nothing else.
 *
 * A dialect is pure: bytes and plain values in, plain values out. It does no I/O, knows no model's quirks and no other
 * dialect; keys, limits, ledger, errors and recovery come from the exchange that calls it.
 */
import type { ConverseEvent, ConverseRequest, ConverseResponse, ImageBlock, TokenUsage } from "../bedrock/converse.ts";
import type { Intent } from "../bedrock/intent.ts";
import type { GatewayError } from "../errors.ts";
import type { Transform } from "../transform.ts";

export interface Dialect {
  /** Stable name, written to the ledger and the access log. */
  readonly name: string;
  /** Paths without the `/v1` prefix, such as `/chat/completions`. All are POST. */
  readonly paths: readonly string[];
  /** Reads a parsed JSON body. Throws GatewayError `invalid_request` with the `param` at fault. */
  decode(body: unknown, meta: CallMeta): Conversation;
  /** The body of an error answer, and of Envoy's own local replies. */
  errorBody(error: GatewayError, requestId?: string): unknown;
  /** The same as the last events of a stream whose status has already been sent. */
  errorEvents(error: GatewayError, requestId?: string): Iterable<SseEvent>;
  /** Where this API's statuses are not those of the error table. */
  errorStatus?(error: GatewayError): number;
  /** What a body refers to of earlier answers, for `CallMeta.stored`. The body has not been checked. */
  refersTo?(body: unknown): StoredReferences;
  /** Stored answers, by their ids below `paths`. */
  readonly storing?: Storing;
  /** What fills the silence in a stream; a comment where nothing is said here. */
  readonly keepAlive?: SseEvent;
  /** A header of every answer that has the request's id, besides `x-request-id`. */
  readonly requestIdHeader?: string;
  /** Counting a prompt's tokens without a call. */
  readonly counting?: Counting;
  /** The list of models in this API's own shape. */
  readonly listing?: Listing;
}

export interface Storing {
  /** What tells that an answer has been deleted. */
  deleted(id: string): unknown;
}

export interface Counting {
  /** As `Dialect.paths`. */
  readonly paths: readonly string[];
  decode(body: unknown, meta: CallMeta): Conversation;
  reply(inputTokens: number): unknown;
}

export interface Listing {
  /** Whether a request of `/models` wants this shape. `header` gives a request header by its lower-case name. */
  asked(header: (name: string) => string | undefined): boolean;
  list(models: readonly ListedModel[], query: URLSearchParams): unknown;
  model(model: ListedModel): unknown;
}

export interface ListedModel {
  readonly id: string;
  /** Unix seconds; 0 where nobody knows. */
  readonly created: number;
}

/** What a reply needs besides Bedrock's answer: given by the caller, so that a dialect reads no clock and no dice. */
export interface CallMeta {
  /** Unique per call, such as a request id's hex digits: the dialect adds its own prefix (`chatcmpl-`). */
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  /** Where answers may be stored: what the body refers to, as `Dialect.refersTo` says. */
  readonly stored?: StoredAnswers;
  /** A request header by its lower-case name. */
  readonly header?: (name: string) => string | undefined;
}

/** Ids of what was answered before, which a body has instead of it. */
export interface StoredReferences {
  /** The answer that the request goes on from. */
  readonly response?: string;
  readonly items: readonly string[];
}

export interface StoredAnswers {
  /** All items up to the end of that answer, oldest first; absent when it is not stored, or not any more. */
  readonly conversation?: readonly unknown[];
  /** By their ids, those that were found. */
  readonly items: ReadonlyMap<string, unknown>;
}

/** A complete answer that is to be stored. */
export interface AnswerToStore {
  readonly id: string;
  /** The answer that it goes on from. */
  readonly previous: string | undefined;
  /** What the request has added, then what the answer has: with those before, all that the next request refers to. */
  readonly items: readonly unknown[];
  /** As the client got it. */
  readonly answer: unknown;
}

/** One decoded client request, and how to answer it. */
export interface Conversation {
  /** The model as the client wrote it. */
  readonly model: string;
  readonly stream: boolean;
  /** What is the same for every model; `intent` is not in it yet, nor are the `remoteImages`. */
  readonly request: ConverseRequest;
  /** One for each choice, where they differ; `request` is then the first. */
  readonly requests?: readonly ConverseRequest[];
  readonly intent: Intent;
  /** How many answers are asked for, at least 1. Bedrock gives one for each call: more are as many calls at once. */
  readonly choices: number;
  /** Images to fetch before the request is sent. */
  readonly remoteImages: readonly RemoteImage[];
  /** Objects in S3 that the request names. Bedrock reads them with the gateway's rights: only what is allowed may pass. */
  readonly storedObjects: readonly StoredObject[];
  /** What was left out of the request harmlessly; sent as the `x-gateway-warning` header. */
  readonly warnings: readonly string[];
  /** The whole answer, from one response for each choice. */
  reply(responses: readonly ConverseResponse[]): unknown;
  /**
   * A fresh machine for one choice (from 0) of a streamed answer. `end()` throws when no `messageStop` was seen. `known` is
   * what can be said of its tokens before it begins: an estimate of the prompt's.
   */
  events(choice: number, known?: TokenUsage): Transform<ConverseEvent, SseEvent>;
  /** What ends the stream once all choices have ended. */
  closing(): Iterable<SseEvent>;
  /** What ends it when it fails instead, where that depends on what has been sent; `Dialect.errorEvents` otherwise. */
  failing?(error: GatewayError): Iterable<SseEvent>;
  /** Once the answer is complete, where `CallMeta.stored` was given and the client wants it kept: what to store. */
  toStore?(): AnswerToStore | undefined;
}

/** An image that the client gave as a link. */
export interface RemoteImage {
  /** As the client wrote it: http or https. */
  readonly url: string;
  /** The field that holds it, for errors. */
  readonly param: string;
  /** Puts the image into the request. */
  place(image: ImageBlock): void;
}

/** An object in S3 that Bedrock is to read. */
export interface StoredObject {
  /** `s3://bucket/key` */
  readonly uri: string;
  readonly param: string;
}

/** https://html.spec.whatwg.org/multipage/server-sent-events.html */
export interface SseEvent {
  readonly event?: string;
  /** An object is sent as JSON, a string as it is (`[DONE]`). */
  readonly data: unknown;
}
