/**
 * What the service answers from its own knowledge: health, CORS preflights, the models that a key may use, as the client's
 * API lists them, and answers that were stored.
 */
import { isModelAllowed } from "../access/allowed-models.ts";
import type { Caller } from "../access/authenticate.ts";
import type { Listing } from "../dialects/dialect.ts";
import { GatewayError } from "../errors.ts";
import type { Catalog, CatalogModel } from "../models/catalog.ts";
import type { Targets } from "../models/targets.ts";
import { type Answer, emptyAnswer, jsonAnswer, modelList, modelObject } from "./answers.ts";
import { preflightHeaders } from "./headers.ts";
import { nativeList } from "./native-lists.ts";
import type { LocalRoute, StoredRoute } from "./routes.ts";
import { type AnswerArchive, notStoring } from "./stored-answers.ts";
import type { Headers } from "./wire.ts";

export interface LocalServices {
  readonly catalog: Catalog;
  readonly targets: Targets;
  /** Undefined where nothing is stored. */
  readonly answers: AnswerArchive | undefined;
}

export interface LocalRequest {
  readonly headers: Headers;
  /** How the client wants models to be listed; undefined: as OpenAI lists them. */
  readonly listing: Listing | undefined;
  readonly authenticate: () => Promise<Caller>;
}

/** Throws GatewayError. */
export async function localAnswer(services: LocalServices, request: LocalRequest, route: LocalRoute): Promise<Answer> {
  const { headers, listing } = request;
  switch (route.kind) {
    case "preflight":
      return emptyAnswer(204, preflightHeaders(headers));
    case "root":
      return jsonAnswer(200, { name: "Bedrock Gateway", api: "/v1", health: "/healthz" });
    case "health":
      return jsonAnswer(200, { status: "ok" });
    case "models": {
      const models = await permittedModels(services, request);
      return jsonAnswer(200, listing?.list(models, query(headers)) ?? modelList(models));
    }
    case "native_list":
      return jsonAnswer(200, nativeList(route.list, await permittedModels(services, request), query(headers)));
    case "model": {
      const model = (await permittedModels(services, request)).find(({ id }) => id === route.id);
      if (model !== undefined) return jsonAnswer(200, listing?.model(model) ?? modelObject(model));
      throw new GatewayError(
        "model_not_found",
        "The model does not exist, or this key may not use it. GET /v1/models lists those it may.",
        { param: "model" },
      );
    }
    case "stored":
      return jsonAnswer(200, await storedAnswer(services, request, route));
  }
}

async function storedAnswer(
  { answers }: LocalServices,
  { headers, authenticate }: LocalRequest,
  { storing, id }: StoredRoute,
): Promise<unknown> {
  const { key } = await authenticate();
  if (answers === undefined) throw notStoring();
  if (headers.get(":method") === "DELETE") {
    await answers.remove(key.id, id);
    return storing.deleted(id);
  }
  if (query(headers).get("stream") === "true") {
    throw new GatewayError("invalid_request", "stream must be false: a stored answer is given as a whole.", {
      param: "stream",
    });
  }
  return answers.get(key.id, id);
}

async function permittedModels(services: LocalServices, { authenticate }: LocalRequest): Promise<CatalogModel[]> {
  const { key } = await authenticate();
  const { catalog, targets } = services;
  const aliases = [...targets.aliases.keys()].map((id) => ({
    id,
    created: 0,
    ownedBy: "gateway",
    inputModalities: [],
    outputModalities: [],
  }));
  const listed = (await catalog.list()).filter(({ id }) => !targets.aliases.has(id));
  return [...aliases, ...listed].filter(({ id }) => isModelAllowed(key, id, targets.aliases.get(id)));
}

function query(headers: Headers): URLSearchParams {
  return new URLSearchParams(headers.get(":path")?.split("?")[1]);
}
