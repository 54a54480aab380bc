/**
 * Images, files and audio in message parts, as the APIs spell them, as Converse blocks.
 *
 * Only data that is in the request itself: links and stored files are refused with a remedy.
 */
import type { DocumentBlock, ImageBlock, MediaBlock } from "../bedrock/converse.ts";
import {
  AUDIO_FORMATS,
  canonicalBase64,
  documentFormat,
  documentName,
  imageFormat,
  type MediaData,
  parseDataUrl,
} from "../bedrock/media.ts";
import type { Field } from "./fields.ts";

const IMAGE_REMEDY = 'send the image itself as "data:image/png;base64,..."';

/** OpenAI's `{url}`, or the URL itself as Responses has it. */
export function readImageUrl(field: Field): ImageBlock {
  const inside = typeof field.value !== "string" && !field.absent;
  if (inside) field.object("an object with a url");
  const url = inside ? field.at("url") : field;
  const text = url.string("a data: URL");
  const data = parseDataUrl(text);
  if (data === undefined) throw url.error(imageUrlProblem(text));
  return image(url, data);
}

/** Anthropic's `{type: "base64", media_type, data}`. */
export function readImageSource(source: Field): ImageBlock {
  source.object();
  const type = source.at("type");
  if (type.value === "url") throw source.at("url").error(imageUrlProblem("https:"));
  if (type.value !== "base64") throw type.mustBeOneOf(["base64"]);
  const data = source.at("data");
  return image(data, { mediaType: source.at("media_type").string().toLowerCase(), bytes: readBase64(data, "image") });
}

/** OpenAI's `{file_data, filename?}`: a data URL or bare base64. */
export function readFile(file: Field): DocumentBlock {
  file.object();
  const data = file.at("file_data");
  if (data.absent) throw data.error("is missing: stored files and links are not read, send the file as a data: URL");
  const text = data.string('"data:application/pdf;base64,..."');
  const media = parseDataUrl(text) ?? { mediaType: "", bytes: readBase64(data, "file") };
  const filename = file.at("filename").absent ? "" : file.at("filename").string();
  const format = documentFormat(media, filename);
  if (format === undefined) throw data.error("must be a PDF, CSV, Word, Excel, HTML, Markdown or plain text file");
  return { format, name: documentName(filename), source: { bytes: media.bytes } };
}

/** OpenAI's `{data, format}`. */
export function readAudio(audio: Field): MediaBlock {
  audio.object();
  const format = audio.at("format").string();
  if (!AUDIO_FORMATS.has(format)) throw audio.at("format").mustBeOneOf([...AUDIO_FORMATS]);
  return { format, source: { bytes: readBase64(audio.at("data"), "audio") } };
}

function imageUrlProblem(url: string): string {
  if (/^https?:/i.test(url)) return `must be a data: URL, this gateway fetches no links: ${IMAGE_REMEDY}`;
  if (/^data:/i.test(url)) return `must be valid base64 image data: ${IMAGE_REMEDY}`;
  return `must be a data: URL: ${IMAGE_REMEDY}`;
}

function image(field: Field, data: MediaData): ImageBlock {
  const format = imageFormat(data);
  if (format === undefined) throw field.error("must be a PNG, JPEG, GIF or WebP image");
  return { format, source: { bytes: data.bytes } };
}

function readBase64(data: Field, what: string): string {
  const bytes = canonicalBase64(data.string());
  if (bytes === undefined) throw data.error(`must be valid base64 ${what} data`);
  return bytes;
}
