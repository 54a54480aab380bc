/**
 * Writes frames of `application/vnd.amazon.eventstream`, as ConverseStream sends them.
 *
 * https://smithy.io/2.0/aws/amazon-eventstream.html: total length, headers length, CRC of these two, headers, payload,
 * CRC of everything before. This is a writer of its own on purpose: a mistake in the gateway's reader can't hide here.
 * Only string headers exist, because Bedrock sends no others.
 */
import { crc32 } from "node:zlib";
import type { JsonObject } from "../json.ts";

/** A frame with one wrong checksum, for tests of the reader. */
export type Corruption = "prelude" | "message";

const PRELUDE_BYTES = 12;
const CRC_BYTES = 4;
const STRING_HEADER = 7;
const PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const eventHeaders = new Map<string, Buffer>();

/** An event: `:message-type: event`, the payload as JSON with AWS's padding key `p`. */
export function eventFrame(type: string, payload: JsonObject, corrupt?: Corruption): Buffer {
  let headers = eventHeaders.get(type);
  if (headers === undefined) {
    headers = encodeHeaders({ ":event-type": type, ":content-type": "application/json", ":message-type": "event" });
    if (eventHeaders.size < 100) eventHeaders.set(type, headers);
  }
  return frame(headers, padded(payload), corrupt);
}

/** An exception of the operation's model, such as `throttlingException`, inside a response that began with 200. */
export function exceptionFrame(type: string, payload: JsonObject, corrupt?: Corruption): Buffer {
  const headers = { ":exception-type": type, ":content-type": "application/json", ":message-type": "exception" };
  return frame(encodeHeaders(headers), JSON.stringify(payload), corrupt);
}

/** An error outside the operation's model: no payload, code and text are headers. */
export function errorFrame(code: string, message: string): Buffer {
  return frame(encodeHeaders({ ":message-type": "error", ":error-code": code, ":error-message": message }), "");
}

function frame(headers: Buffer, payload: string, corrupt?: Corruption): Buffer {
  const total = PRELUDE_BYTES + headers.length + Buffer.byteLength(payload) + CRC_BYTES;
  const bytes = Buffer.allocUnsafe(total);
  bytes.writeUInt32BE(total, 0);
  bytes.writeUInt32BE(headers.length, 4);
  bytes.writeUInt32BE(damaged(crc32(bytes.subarray(0, 8)), corrupt === "prelude"), 8);
  headers.copy(bytes, PRELUDE_BYTES);
  bytes.write(payload, PRELUDE_BYTES + headers.length);
  bytes.writeUInt32BE(damaged(crc32(bytes.subarray(0, total - CRC_BYTES)), corrupt === "message"), total - CRC_BYTES);
  return bytes;
}

function damaged(checksum: number, damage: boolean): number {
  return damage ? (checksum ^ 1) >>> 0 : checksum;
}

function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) {
    const nameBytes = Buffer.from(name);
    const valueBytes = Buffer.from(value);
    const head = Buffer.from([nameBytes.length]);
    const tail = Buffer.from([STRING_HEADER, valueBytes.length >> 8, valueBytes.length & 0xff]);
    parts.push(head, nameBytes, tail, valueBytes);
  }
  return Buffer.concat(parts);
}

/** Bedrock hides the length of a delta by a key `p` of varying length; readers have to ignore it. */
function padded(payload: JsonObject): string {
  const json = JSON.stringify(payload);
  if (!json.endsWith("}")) return json;
  const p = PADDING.slice(0, 1 + ((json.length * 7) % PADDING.length));
  return json === "{}" ? `{"p":"${p}"}` : `${json.slice(0, -1)},"p":"${p}"}`;
}
