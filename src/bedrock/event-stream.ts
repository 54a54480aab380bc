/**
 * Bytes to whole event-stream frames, at any chunk boundary, with both checksums verified.
 *
 * A frame is: total length, header length and their CRC32 (the prelude), headers, payload, CRC32 of all before.
 * https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html has the layout. Headers are read by AWS's codec, checksums
 * natively: those of the codec are JavaScript and take as long as all the rest.
 * The prelude's checksum is verified as soon as its twelve bytes are there: a corrupt length would otherwise make the
 * stream wait for bytes that never come.
 */
import { crc32 } from "node:zlib";
import { HeaderMarshaller } from "@smithy/eventstream-codec";
import { GatewayError } from "../errors.ts";
import type { Transform } from "../transform.ts";

/** One decoded frame. Header values are text; other types do not occur on Bedrock's streams and are left out. */
export interface Frame {
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
}

/** AWS's own limits are 128 KiB of headers and 16 MiB of payload (24 MiB for some services). */
export const MAX_FRAME_BYTES = 24 * 1024 * 1024;

const PRELUDE_BYTES = 12;
const OVERHEAD_BYTES = PRELUDE_BYTES + 4;

const marshaller = new HeaderMarshaller(
  (bytes) =>
    typeof bytes === "string" ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"),
  (text) => Buffer.from(text, "utf8"),
);

/** Throws GatewayError `upstream_invalid_response` on a bad checksum, an impossible length, or an end inside a frame. */
export function frames(maxFrameBytes = MAX_FRAME_BYTES): Transform<Uint8Array, Frame> {
  let chunks: Uint8Array[] = [];
  let held = 0;
  /** Length of the frame at the start of what is held; 0 until its prelude has been read. */
  let wanted = 0;

  return {
    push(chunk) {
      // Bedrock sends a frame at a time, and mostly that is how it arrives.
      if (held === 0 && isOneFrame(chunk, maxFrameBytes)) return [decode(chunk)];
      return split(chunk);
    },
    end() {
      if (held === 0) return [];
      throw new GatewayError("upstream_invalid_response", "Bedrock's stream ended inside a frame.");
    },
  };

  /** Lazily: the frames before a corrupt one are not lost. */
  function* split(chunk: Uint8Array): Iterable<Frame> {
    if (chunk.byteLength === 0) return;
    chunks.push(chunk);
    held += chunk.byteLength;
    // A frame in many small chunks is joined once, when it is complete, not once for each chunk.
    if (wanted !== 0 && held < wanted) return;

    let bytes: Uint8Array = chunks.length === 1 ? chunk : Buffer.concat(chunks, held);
    for (;;) {
      if (wanted === 0 && bytes.byteLength >= PRELUDE_BYTES) wanted = frameLength(bytes, maxFrameBytes);
      if (wanted === 0 || bytes.byteLength < wanted) break;
      const frame = bytes.subarray(0, wanted);
      bytes = bytes.subarray(wanted);
      wanted = 0;
      yield decode(frame);
    }
    chunks = bytes.byteLength === 0 ? [] : [bytes];
    held = bytes.byteLength;
  }
}

function isOneFrame(chunk: Uint8Array, maxFrameBytes: number): boolean {
  return chunk.byteLength >= PRELUDE_BYTES && frameLength(chunk, maxFrameBytes) === chunk.byteLength;
}

function frameLength(bytes: Uint8Array, maxFrameBytes: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, PRELUDE_BYTES);
  const total = view.getUint32(0);
  if (view.getUint32(8) !== crc32(bytes.subarray(0, 8))) {
    throw corrupt("a frame's prelude has a wrong checksum");
  }
  if (total < OVERHEAD_BYTES || total > maxFrameBytes || view.getUint32(4) > total - OVERHEAD_BYTES) {
    throw new GatewayError(
      "upstream_invalid_response",
      `Bedrock's stream has a frame of an impossible length (${total} bytes).`,
    );
  }
  return total;
}

function decode(frame: Uint8Array): Frame {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const end = bytes.length - 4;
  const payloadStart = PRELUDE_BYTES + bytes.readUInt32BE(4);
  if (bytes.readUInt32BE(end) !== crc32(bytes.subarray(0, end))) throw corrupt("a frame has a wrong checksum");
  return {
    headers: decodeHeaders(bytes.subarray(PRELUDE_BYTES, payloadStart)),
    payload: bytes.subarray(payloadStart, end),
  };
}

/** Almost all frames of a stream have the same headers, to the byte: those of the last one are at hand. */
let lastBytes: Buffer = Buffer.alloc(0);
let lastHeaders: Readonly<Record<string, string>> = {};

function decodeHeaders(bytes: Buffer): Readonly<Record<string, string>> {
  if (bytes.equals(lastBytes)) return lastHeaders;
  // A buffer of their own, so that a length that lies ends in an error and not in the bytes behind.
  const own = Buffer.from(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const headers = parseHeaders(own);
  lastBytes = own;
  lastHeaders = headers;
  return headers;
}

function parseHeaders(own: Buffer): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  try {
    const parsed = marshaller.parse(new DataView(own.buffer, own.byteOffset, own.byteLength));
    for (const name in parsed) {
      const header = parsed[name];
      if (header?.type === "string") headers[name] = header.value;
    }
  } catch (cause) {
    throw corrupt("a frame's headers can't be decoded", cause);
  }
  return Object.freeze(headers);
}

function corrupt(what: string, cause?: unknown): GatewayError {
  return new GatewayError("upstream_invalid_response", `Bedrock's stream is corrupt: ${what}.`, { cause });
}
