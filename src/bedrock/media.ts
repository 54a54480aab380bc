/**
 * Images, documents and audio as Converse takes them: base64 text, a format name, a document name.
 *
 * The format comes from the bytes where they tell it and from the declared media type elsewhere. Nothing is fetched
 * here. What lies in S3 is told by its name alone: nobody has looked into it.
 */
import type { DocumentBlock, ImageBlock } from "./converse.ts";
import type { TakenNames } from "./taken-names.ts";

export interface MediaData {
  /** Lower case, without parameters; empty when not given. */
  readonly mediaType: string;
  /** Canonical base64: standard alphabet, padded, no line breaks. */
  readonly bytes: string;
}

const DATA_URL = /^data:([^,]{0,256}),/i;
const HEADER_BYTES = 16;

const DOCUMENT_FORMATS: Readonly<Record<string, DocumentBlock["format"]>> = {
  pdf: "pdf",
  csv: "csv",
  doc: "doc",
  docx: "docx",
  xls: "xls",
  xlsx: "xlsx",
  html: "html",
  htm: "html",
  txt: "txt",
  md: "md",
  markdown: "md",
  "application/pdf": "pdf",
  "text/csv": "csv",
  "application/msword": "doc",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
  "application/vnd.ms-excel": "xls",
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
  "text/html": "html",
  "text/plain": "txt",
  "text/markdown": "md",
  "application/json": "txt",
  "application/xml": "txt",
  "application/yaml": "txt",
  json: "txt",
  xml: "txt",
  yaml: "txt",
  yml: "txt",
  log: "txt",
};

const IMAGE_FORMATS: Readonly<Record<string, ImageBlock["format"]>> = {
  png: "png",
  jpg: "jpeg",
  jpeg: "jpeg",
  gif: "gif",
  webp: "webp",
};

const VIDEO_FORMATS: Readonly<Record<string, string>> = {
  mp4: "mp4",
  m4v: "mp4",
  mov: "mov",
  mkv: "mkv",
  webm: "webm",
  flv: "flv",
  mpeg: "mpeg",
  mpg: "mpg",
  wmv: "wmv",
  "3gp": "three_gp",
  three_gp: "three_gp",
  "video/mp4": "mp4",
  "video/quicktime": "mov",
  "video/x-matroska": "mkv",
  "video/webm": "webm",
  "video/x-flv": "flv",
  "video/mpeg": "mpeg",
  "video/x-ms-wmv": "wmv",
  "video/3gpp": "three_gp",
};

export const AUDIO_FORMATS: ReadonlySet<string> = new Set(
  "mp3 opus wav aac flac mp4 ogg mkv mka x-aac m4a mpeg mpga pcm webm".split(" "),
);

/** Parses `data:<type>;base64,<data>`; undefined when it is not one or the base64 is broken. */
export function parseDataUrl(url: string): MediaData | undefined {
  const match = DATA_URL.exec(url);
  if (match === null) return undefined;
  const [mediaType = "", ...parameters] = (match[1] ?? "").toLowerCase().split(";");
  if (!parameters.some((parameter) => parameter.trim() === "base64")) return undefined;
  const bytes = canonicalBase64(url.slice(match[0].length));
  return bytes === undefined ? undefined : { mediaType: mediaType.trim(), bytes };
}

/**
 * The same bytes in the standard alphabet with padding, or undefined when the text is not base64 or empty. Node's decoder
 * skips what it does not know, so a text is valid when the decoder found as many bytes as its length promises. It
 * is many times faster than a pattern on a 20 MB image.
 */
export function canonicalBase64(text: string): string | undefined {
  const compact = /\s/.test(text) ? withoutSpace(text) : text;
  const bytes = Buffer.from(compact, "base64");
  const digits = compact.endsWith("==") ? compact.length - 2 : compact.length - (compact.endsWith("=") ? 1 : 0);
  if (bytes.length === 0 || digits % 4 === 1 || bytes.length !== Math.floor((digits * 3) / 4)) return undefined;
  const standard = compact.length % 4 === 0 && !compact.includes("-") && !compact.includes("_");
  return standard ? compact : bytes.toString("base64");
}

/** ASCII's white space goes, byte by byte: a pattern spends 1.5 s on 30 MB with a space behind each digit. */
function withoutSpace(text: string): string {
  const bytes = Buffer.from(text, "utf8");
  let length = 0;
  for (const byte of bytes) {
    if (byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)) continue;
    bytes[length] = byte;
    length += 1;
  }
  return bytes.toString("latin1", 0, length);
}

export function imageFormat({ mediaType, bytes }: MediaData): ImageBlock["format"] | undefined {
  const head = Buffer.from(bytes.slice(0, HEADER_BYTES * 2), "base64").toString("latin1");
  if (head.startsWith("\x89PNG")) return "png";
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("GIF8")) return "gif";
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") return "webp";
  switch (mediaType) {
    case "image/png":
      return "png";
    case "image/jpeg":
    case "image/jpg":
      return "jpeg";
    case "image/gif":
      return "gif";
    case "image/webp":
      return "webp";
    default:
      return undefined;
  }
}

export function documentFormat({ mediaType, bytes }: MediaData, filename: string): DocumentBlock["format"] | undefined {
  if (Buffer.from(bytes.slice(0, 8), "base64").toString("latin1").startsWith("%PDF")) return "pdf";
  const told = own(DOCUMENT_FORMATS, mediaType) ?? own(DOCUMENT_FORMATS, extension(filename));
  return told ?? (mediaType.startsWith("text/") ? "txt" : undefined);
}

export function videoFormat(mediaType: string): string | undefined {
  return own(VIDEO_FORMATS, mediaType);
}

/** The formats that a file's extension stands for, one for each kind of content. */
export function formatsByName(path: string): {
  image: ImageBlock["format"] | undefined;
  document: DocumentBlock["format"] | undefined;
  video: string | undefined;
} {
  const kind = extension(path);
  return { image: own(IMAGE_FORMATS, kind), document: own(DOCUMENT_FORMATS, kind), video: own(VIDEO_FORMATS, kind) };
}

const S3_URI = /^s3:\/\/[a-z0-9][.\-a-z0-9]{1,61}[a-z0-9]\/[^\r\n]+$/;
const S3_URI_LENGTH = 1024;

export function isS3Uri(text: string): boolean {
  return text.length <= S3_URI_LENGTH && S3_URI.test(text);
}

function extension(path: string): string {
  return /\.([a-z0-9_]{2,8})$/i.exec(path)?.[1]?.toLowerCase() ?? "";
}

function own<V>(table: Readonly<Record<string, V>>, key: string): V | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

const NAME_LENGTH = 200;
const NAME_ROOM_FOR_NUMBER = " (9999999)".length;

/** A file name as Converse takes it: letters, digits, single spaces and `-()[]`, without its extension. */
export function documentName(filename: string): string {
  const stem = filename.replace(/\.[a-zA-Z]{2,8}$/, "");
  const clean = stem
    .replace(/[^a-zA-Z0-9\-()[\]]+/g, " ")
    .slice(0, NAME_LENGTH - NAME_ROOM_FOR_NUMBER)
    .trim();
  return clean === "" ? "document" : clean;
}

/** `name`, or the first of `name (2)`, `name (3)` … that is not taken. */
export function uniqueDocumentName(name: string, taken: TakenNames): string {
  return taken.unique(name, name, (base, n) => `${base} (${n})`);
}
