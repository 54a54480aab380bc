/**
 * From a body in a client's dialect to the call that is forwarded, or to the count of its tokens: decoded, permitted,
 * resolved, its images fetched.
 */
import { setImmediate } from "node:timers/promises";
import { isModelAllowed } from "../access/allowed-models.ts";
import type { Conversation, Counting, Dialect } from "../dialects/dialect.ts";
import { GatewayError } from "../errors.ts";
import type { ImageFetcher } from "../media/fetch-image.ts";
import type { Target, Targets } from "../models/targets.ts";
import { type Admitted, assertModel, assertReadable, type Begun } from "./admitted.ts";
import { jsonAnswer } from "./answers.ts";
import { Call, type CallServices } from "./call.ts";
import { headerText } from "./headers.ts";
import { parseBody } from "./json-body.ts";
import { countTokens } from "./token-count.ts";

export interface ConversationServices extends CallServices {
  readonly targets: Targets;
  readonly fetchImage: ImageFetcher;
  /** S3 buckets that clients may name; `*` stands for any characters. */
  readonly buckets: readonly string[];
}

/** As many images as Converse takes. */
const MAX_REMOTE_IMAGES = 20;

/** Above the longest time that an operator can give to a fetch, below Envoy's max_message_timeout. */
const FETCH_SECONDS = 90;

const LARGE_BODY_BYTES = 1024 * 1024;

export async function beginConversation(
  services: ConversationServices,
  admitted: Admitted,
  dialect: Dialect,
  body: Buffer,
): Promise<Begun> {
  const startedAt = services.now();
  const opened = await open(services, admitted, dialect, body, startedAt);
  if (opened === undefined) return undefined;
  const { conversation, targets } = opened;
  const { id, caller, admission, trace, outlet } = admitted;
  // What an operator falls back to must not widen what a key may use.
  const permitted = targets.filter(
    ({ name, modelId }, index) => index === 0 || isModelAllowed(caller.key, name, modelId),
  );
  const request = { id, caller, admission, trace, dialect, conversation, targets: permitted, startedAt };
  return { kind: "forward", call: new Call(services, request, outlet) };
}

export async function beginCount(
  services: ConversationServices,
  admitted: Admitted,
  counting: Counting,
  body: Buffer,
): Promise<Begun> {
  const opened = await open(services, admitted, counting, body, services.now());
  if (opened === undefined) return undefined;
  const { tokens, warnings } = await countTokens(services, opened.conversation, opened.targets);
  const headers = warnings.length === 0 ? {} : { "x-gateway-warning": headerText(warnings.join("; ")) };
  return { kind: "answer", answer: jsonAnswer(200, counting.reply(tokens), headers) };
}

interface Opened {
  readonly conversation: Conversation;
  readonly targets: readonly Target[];
}

async function open(
  services: ConversationServices,
  admitted: Admitted,
  { decode, refersTo }: Pick<Dialect, "decode" | "refersTo">,
  body: Buffer,
  startedAt: number,
): Promise<Opened | undefined> {
  const { targets, buckets, answers } = services;
  const parsed = parseBody(body);
  const references = answers && refersTo?.(parsed);
  const stored = references && (await answers?.find(admitted.caller.key.id, references));
  const conversation = decode(parsed, {
    id: admitted.id.replaceAll("-", ""),
    created: Math.floor(startedAt / 1000),
    header: (name) => admitted.headers.get(name),
    ...(stored !== undefined && { stored }),
  });
  assertModel(admitted, targets, conversation.model);
  assertReadable(conversation.storedObjects, buckets);
  // Reading a body of images and writing it anew each hold the event loop for about 100 ms; others go in between.
  if (body.length > LARGE_BODY_BYTES) await setImmediate();
  const [resolved] = await Promise.all([
    targets.resolve(conversation.model),
    fetchImages(services.fetchImage, admitted, conversation),
  ]);
  return admitted.gone() ? undefined : { conversation, targets: resolved };
}

async function fetchImages(fetchImage: ImageFetcher, admitted: Admitted, conversation: Conversation): Promise<void> {
  const { remoteImages } = conversation;
  if (remoteImages.length === 0) return;
  if (remoteImages.length > MAX_REMOTE_IMAGES) {
    throw new GatewayError("invalid_request", `At most ${MAX_REMOTE_IMAGES} images can be given as links.`, {
      param: "messages",
    });
  }
  admitted.wait(FETCH_SECONDS);
  await Promise.all(
    remoteImages.map(async ({ url, param, place }) => {
      const { format, bytes } = await fetchImage(url, param);
      place({ format, source: { bytes } });
    }),
  );
}
