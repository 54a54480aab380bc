/**
 * Images, files, video and audio in message parts, as the APIs spell them, as Converse blocks.
 *
 * Mostly data that is in the request itself. Links to images and objects in S3 are noted in the request's References;
 * files that a vendor stores under an id are refused with a remedy.
 */
import type { DocumentBlock, ImageBlock, MediaBlock } from "../bedrock/converse.ts";
import {
  AUDIO_FORMATS,
  canonicalBase64,
  documentFormat,
  documentName,
  formatsByName,
  imageFormat,
  isS3Uri,
  type MediaData,
  parseDataUrl,
  videoFormat,
} from "../bedrock/media.ts";
import type { Field } from "./fields.ts";
import type { References } from "./references.ts";

const IMAGE_REMEDY = 'send the image itself as "data:image/png;base64,..."';
const FILE_REMEDY = 'send the file itself as "data:application/pdf;base64,..."';
const VIDEO_REMEDY = 'send the video itself as "data:video/mp4;base64,..."';
const MAX_LINK_LENGTH = 8192;

/** OpenAI's `{url}`, or the URL itself as Responses has it. */
export function readImageUrl(field: Field, references: References): ImageBlock {
  const url = urlField(field);
  const text = url.string("a URL");
  if (isLink(text)) return references.link(url, checkedLink(url, text));
  if (isStored(text)) return { format: storedFormat(url, text, "image"), source: stored(url, text, references) };
  const data = parseDataUrl(text);
  if (data !== undefined) return image(url, data);
  if (/^data:/i.test(text)) throw url.error(`must be valid base64 image data: ${IMAGE_REMEDY}`);
  throw url.error(`must be a data:, https: or s3: URL: ${IMAGE_REMEDY}`);
}

/** Anthropic's `{type: "base64", media_type, data}` and `{type: "url", url}`. */
export function readImageSource(source: Field, references: References): ImageBlock {
  source.object();
  const type = source.at("type");
  if (type.value === "url") return readImageUrl(source.at("url"), references);
  if (type.value !== "base64") throw type.mustBeOneOf(["base64", "url"]);
  return image(source.at("data"), sourceData(source, "image"));
}

/** OpenAI's `{file_data, filename?}`: a data URL, bare base64, or `s3://`. `part` may say more about the document. */
export function readFile(file: Field, part: Field, references: References): DocumentBlock {
  file.object();
  const filename = file.at("filename").absent ? "" : file.at("filename").string();
  const data = [file.at("file_data"), file.at("file_url"), file.at("url")].find((field) => !field.absent);
  if (data === undefined) throw file.at("file_data").error(`is missing: stored files are not read, ${FILE_REMEDY}`);
  const text = data.string('"data:application/pdf;base64,..."');
  if (isLink(text)) throw data.error(`must not be a link: this gateway fetches no files, ${FILE_REMEDY}`);
  if (isStored(text)) return storedDocument(data, filename, part, references);
  const media = parseDataUrl(text) ?? { mediaType: "", bytes: readBase64(data, "file") };
  return {
    format: formatOf(data, media, filename),
    name: documentName(filename),
    source: { bytes: media.bytes },
    ...aboutDocument(part),
  };
}

/** Anthropic's `{type: "document", source, title?, context?, citations?}`. */
export function readDocument(part: Field, references: References): DocumentBlock {
  const source = part.at("source");
  source.object();
  const title = part.at("title").absent ? "" : part.at("title").string();
  const rest = { name: documentName(title), ...aboutDocument(part) };
  const type = source.at("type");
  switch (type.value) {
    case "base64": {
      const media = sourceData(source, "file");
      return { format: formatOf(source.at("data"), media, title), ...rest, source: { bytes: media.bytes } };
    }
    case "text": {
      const text = source.at("data").name("a text");
      return { format: "txt", ...rest, source: { bytes: Buffer.from(text).toString("base64") } };
    }
    case "content":
      return { format: "txt", ...rest, source: { content: readChunks(source.at("content")) } };
    case "url": {
      const url = source.at("url");
      if (isStored(url.string("a URL"))) return storedDocument(url, title, part, references);
      throw url.error('must be an s3: URL: this gateway fetches no files, send a source of type "base64"');
    }
    default:
      throw type.mustBeOneOf(["base64", "text", "content"]);
  }
}

/** `{url}` or the URL itself: a data URL or `s3://`. */
export function readVideo(field: Field, references: References): MediaBlock {
  const url = urlField(field);
  const text = url.string("a URL");
  if (isStored(text)) return { format: storedFormat(url, text, "video"), source: stored(url, text, references) };
  const data = parseDataUrl(text);
  if (data === undefined) throw url.error(`must be a data: or s3: URL: ${VIDEO_REMEDY}`);
  const format = videoFormat(data.mediaType);
  if (format === undefined) throw url.error("must be a MP4, MOV, MKV, WebM, FLV, MPEG, WMV or 3GP video");
  return { format, source: { bytes: data.bytes } };
}

/** OpenAI's `{data, format}`. */
export function readAudio(audio: Field): MediaBlock {
  audio.object();
  const format = audio.at("format").string();
  if (!AUDIO_FORMATS.has(format)) throw audio.at("format").mustBeOneOf([...AUDIO_FORMATS]);
  return { format, source: { bytes: readBase64(audio.at("data"), "audio") } };
}

function urlField(field: Field): Field {
  const inside = typeof field.value !== "string" && !field.absent;
  if (inside) field.object("an object with a url");
  return inside ? field.at("url") : field;
}

function isLink(text: string): boolean {
  return /^https?:/i.test(text);
}

function checkedLink(field: Field, text: string): string {
  if (text.length > MAX_LINK_LENGTH) throw field.error(`must be at most ${MAX_LINK_LENGTH} characters long`);
  if (!URL.canParse(text)) throw field.error("must be a valid URL");
  return text;
}

function isStored(text: string): boolean {
  return text.startsWith("s3:");
}

function stored(field: Field, uri: string, references: References): { s3Location: { uri: string } } {
  if (!isS3Uri(uri)) throw field.error('must be "s3://bucket/key"');
  references.object(field, uri);
  return { s3Location: { uri } };
}

function storedFormat<K extends "image" | "document" | "video">(
  field: Field,
  uri: string,
  kind: K,
): NonNullable<ReturnType<typeof formatsByName>[K]> {
  const format = formatsByName(uri)[kind];
  if (format === undefined || format === null)
    throw field.error(`must end with the extension of a known ${kind} format`);
  return format;
}

function storedDocument(field: Field, filename: string, part: Field, references: References): DocumentBlock {
  const uri = field.string();
  return {
    format: storedFormat(field, uri, "document"),
    name: documentName(filename === "" ? (uri.split("/").at(-1) ?? "") : filename),
    source: stored(field, uri, references),
    ...aboutDocument(part),
  };
}

/** What the client says about a document: Anthropic's names, which clients also put on OpenAI's parts. */
function aboutDocument(part: Field): Pick<DocumentBlock, "context" | "citations"> {
  const context = part.at("context").absent ? "" : part.at("context").string();
  const cited = part.at("citations").at("enabled");
  return {
    ...(context.trim() !== "" && { context: context.toWellFormed() }),
    ...(!cited.absent && cited.boolean() && { citations: { enabled: true } }),
  };
}

function readChunks(content: Field): { text: string }[] {
  const chunks = typeof content.value === "string" ? [content] : content.items().map((part) => part.at("text"));
  const texts = chunks.map((chunk) => chunk.string().toWellFormed()).filter((text) => text.trim() !== "");
  if (texts.length === 0) throw content.error("must have text");
  return texts.map((text) => ({ text }));
}

function formatOf(field: Field, media: MediaData, filename: string): DocumentBlock["format"] {
  const format = documentFormat(media, filename);
  if (format === undefined) throw field.error("must be a PDF, CSV, Word, Excel, HTML, Markdown or plain text file");
  return format;
}

function image(field: Field, data: MediaData): ImageBlock {
  const format = imageFormat(data);
  if (format === undefined) throw field.error("must be a PNG, JPEG, GIF or WebP image");
  return { format, source: { bytes: data.bytes } };
}

function sourceData(source: Field, what: string): MediaData {
  const mediaType = source.at("media_type").absent ? "" : source.at("media_type").string().toLowerCase();
  return { mediaType, bytes: readBase64(source.at("data"), what) };
}

function readBase64(data: Field, what: string): string {
  const bytes = canonicalBase64(data.string());
  if (bytes === undefined) throw data.error(`must be valid base64 ${what} data`);
  return bytes;
}
