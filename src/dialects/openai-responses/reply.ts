/** A Converse answer as a `response` object: what its stream would have ended with. */
import type { ConverseResponse } from "../../bedrock/converse.ts";
import { synthesizeEvents } from "../../bedrock/synthesize-events.ts";
import type { Rendering } from "./response.ts";
import { ResponseStream } from "./stream.ts";
import type { ImageItem, Response } from "./types.ts";

/** Images come last: streams have no delta for them. */
export function wholeResponse(response: ConverseResponse, rendering: Rendering): Response {
  const stream = new ResponseStream(rendering);
  for (const event of synthesizeEvents(response)) stream.push(event);
  stream.end();
  const whole = stream.response();
  const images = response.output.message.content.flatMap(({ image }) => image ?? []);
  const items = images.flatMap(({ source }, index): ImageItem[] => {
    if (!("bytes" in source)) return [];
    const id = `ig_${rendering.id}_${whole.output.length + index}`;
    return [{ id, type: "image_generation_call", status: "completed", result: source.bytes }];
  });
  return { ...whole, output: [...whole.output, ...items] };
}
