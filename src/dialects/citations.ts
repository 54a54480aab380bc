/** What an answer says of its sources: a web page, or a document of the request. */
import { isJsonObject, isTooDeep, type JsonObject, type JsonValue } from "../json.ts";

export type Citation =
  | { readonly kind: "web"; readonly title: string; readonly url: string }
  /** `location` is Bedrock's own. */
  | { readonly kind: "document"; readonly title: string; readonly citedText: string; readonly location: JsonObject };

/** Converse's citation, which is checked here; undefined for one that says nothing. */
export function readCitation(citation: JsonValue): Citation | undefined {
  if (!isJsonObject(citation) || !isJsonObject(citation.location) || isTooDeep(citation.location)) return undefined;
  const { location, sourceContent } = citation;
  const title = typeof citation.title === "string" ? citation.title : "";
  const { web } = location;
  if (isJsonObject(web)) return typeof web.url === "string" ? { kind: "web", title, url: web.url } : undefined;
  const quotes = Array.isArray(sourceContent) ? sourceContent.map(textOf) : [];
  return { kind: "document", title, citedText: quotes.join(""), location };
}

function textOf(part: JsonValue): string {
  return isJsonObject(part) && typeof part.text === "string" ? part.text : "";
}
