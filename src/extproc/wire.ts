/**
 * Protobuf messages to plain events and back: the only file that knows the protocol's field names.
 *
 * envoy.service.ext_proc.v3, see protos/ext_proc.proto. The response body is in FULL_DUPLEX_STREAMED mode: pieces of it
 * are sent whenever there are some, none or many for each one that came in.
 */
import { fileURLToPath } from "node:url";
import { loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { ProcessingRequest__Output } from "./generated/envoy/service/ext_proc/v3/ProcessingRequest.ts";
import type { ProcessingResponse } from "./generated/envoy/service/ext_proc/v3/ProcessingResponse.ts";
import type { ProtoGrpcType as ExtProcTypes } from "./generated/ext_proc.ts";
import type { Struct } from "./generated/google/protobuf/Struct.ts";
import type { Value } from "./generated/google/protobuf/Value.ts";
import type { ProtoGrpcType as HealthTypes } from "./generated/health.ts";

/** Lower-case names, pseudo-headers with their colon; a repeated header's values are joined by `, `. */
export type Headers = ReadonlyMap<string, string>;

export type EnvoyEvent =
  | { readonly type: "request_headers"; readonly headers: Headers; readonly endOfStream: boolean }
  | { readonly type: "request_body"; readonly body: Buffer; readonly endOfStream: boolean }
  | { readonly type: "request_trailers" }
  | { readonly type: "response_headers"; readonly headers: Headers; readonly endOfStream: boolean }
  | { readonly type: "response_body"; readonly body: Buffer; readonly endOfStream: boolean }
  | { readonly type: "response_trailers" };

/** Values for the stream's dynamic metadata in the gateway's namespace: routes and the access log read them. */
export type Metadata = Readonly<Record<string, string | number | boolean | undefined>>;

export type Reply =
  /** Not an answer yet: the event in hand takes longer than Envoy's message timeout. Once for each event. */
  | { readonly type: "wait"; readonly seconds: number }
  | { readonly type: "pass"; readonly event: EnvoyEvent["type"]; readonly removeHeaders?: readonly string[] }
  | {
      /** The request as Bedrock gets it; the route is chosen again, by the metadata. */
      readonly type: "forward";
      readonly setHeaders: Readonly<Record<string, string>>;
      readonly removeHeaders: readonly string[];
      readonly body: Buffer;
      readonly metadata: Metadata;
    }
  | {
      /** A whole answer of our own; ends the exchange. Possible until the response headers have been sent. */
      readonly type: "respond";
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Uint8Array;
      readonly metadata: Metadata;
    }
  | {
      readonly type: "response_headers";
      readonly status: number;
      readonly setHeaders: Readonly<Record<string, string>>;
      readonly removeHeaders: readonly string[];
    }
  | {
      readonly type: "response_body";
      readonly body: Uint8Array;
      readonly endOfStream: boolean;
      readonly metadata?: Metadata;
    };

/** The namespace that envoy.yaml lets us write (metadata_options.receiving_namespaces). */
export const METADATA_NAMESPACE = "bedrock_gateway";

const PROTOS = fileURLToPath(new URL("../../protos/", import.meta.url));

/** `defaults: false` halves the cost of decoding; an absent body then is undefined, an absent flag false. */
function load(file: string): unknown {
  const definition = loadSync(file, {
    includeDirs: [PROTOS],
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: false,
    arrays: true,
    oneofs: true,
  });
  return loadPackageDefinition(definition);
}

// What the loader returns has the types that were generated from the same files.
export const processorService = (load("ext_proc.proto") as ExtProcTypes).envoy.service.ext_proc.v3.ExternalProcessor
  .service;
export const healthService = (load("health.proto") as HealthTypes).grpc.health.v1.Health.service;

const EMPTY = Buffer.alloc(0);

/** Undefined for a message of a kind that this Envoy filter is not configured to send. */
export function toEvent(message: ProcessingRequest__Output): EnvoyEvent | undefined {
  switch (message.request) {
    case "request_headers":
    case "response_headers": {
      const part = message[message.request];
      return {
        type: message.request,
        headers: toHeaders(part?.headers?.headers),
        endOfStream: part?.end_of_stream === true,
      };
    }
    case "request_body":
    case "response_body": {
      const part = message[message.request];
      return { type: message.request, body: part?.body ?? EMPTY, endOfStream: part?.end_of_stream === true };
    }
    case "request_trailers":
    case "response_trailers":
      return { type: message.request };
    default:
      return undefined;
  }
}

export function toMessage(reply: Reply): ProcessingResponse {
  switch (reply.type) {
    case "wait":
      return { override_message_timeout: { seconds: reply.seconds } };
    case "pass":
      return passMessage(reply.event, reply.removeHeaders);
    case "forward":
      return {
        request_body: {
          response: {
            header_mutation: headerMutation(reply.setHeaders, reply.removeHeaders),
            body_mutation: { body: reply.body },
            clear_route_cache: true,
          },
        },
        dynamic_metadata: toStruct(reply.metadata),
      };
    case "respond":
      return {
        immediate_response: {
          status: { code: reply.status },
          headers: headerMutation(reply.headers, []),
          body: reply.body,
          details: "gateway",
        },
        dynamic_metadata: toStruct(reply.metadata),
      };
    case "response_headers":
      return {
        response_headers: {
          response: {
            header_mutation: headerMutation(
              { ":status": String(reply.status), ...reply.setHeaders },
              reply.removeHeaders,
            ),
          },
        },
      };
    case "response_body":
      return {
        response_body: {
          response: {
            body_mutation: { streamed_response: { body: reply.body, end_of_stream: reply.endOfStream } },
          },
        },
        ...(reply.metadata === undefined ? {} : { dynamic_metadata: toStruct(reply.metadata) }),
      };
  }
}

function passMessage(event: EnvoyEvent["type"], removeHeaders: readonly string[] = []): ProcessingResponse {
  switch (event) {
    case "request_headers":
    case "response_headers":
      return {
        [event]: removeHeaders.length === 0 ? {} : { response: { header_mutation: headerMutation({}, removeHeaders) } },
      };
    case "request_body":
    case "response_body":
    case "request_trailers":
    case "response_trailers":
      return { [event]: {} };
  }
}

interface RawHeader {
  readonly key?: string;
  readonly value?: string;
  readonly raw_value?: Buffer;
}

function toHeaders(list: readonly RawHeader[] = []): Headers {
  const headers = new Map<string, string>();
  for (const { key, value, raw_value } of list) {
    if (key === undefined) continue;
    const text = raw_value === undefined || raw_value.length === 0 ? (value ?? "") : raw_value.toString("latin1");
    const before = headers.get(key);
    headers.set(key, before === undefined ? text : `${before}, ${text}`);
  }
  return headers;
}

function headerMutation(set: Readonly<Record<string, string>>, remove: readonly string[]) {
  return {
    set_headers: Object.entries(set).map(([key, value]) => ({
      header: { key, raw_value: Buffer.from(value, "latin1") },
      append_action: "OVERWRITE_IF_EXISTS_OR_ADD" as const,
    })),
    remove_headers: [...remove],
  };
}

function toStruct(metadata: Metadata): Struct {
  const fields: Record<string, Value> = {};
  for (const [name, value] of Object.entries(metadata)) {
    if (value !== undefined) fields[name] = toValue(value);
  }
  return { fields: { [METADATA_NAMESPACE]: { structValue: { fields } } } };
}

function toValue(value: string | number | boolean): Value {
  switch (typeof value) {
    case "string":
      return { stringValue: value };
    case "number":
      return { numberValue: value };
    case "boolean":
      return { boolValue: value };
  }
}
