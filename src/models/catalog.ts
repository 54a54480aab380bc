/**
 * The models that can be asked for, from ListFoundationModels and ListInferenceProfiles.
 *
 * The catalog informs and never refuses: a chat with an id that it does not list goes to Bedrock as it is, and a chat
 * never waits for it, except for the two seconds that the first use of an application inference profile may cost. Each
 * list is kept when its next refresh fails.
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html, API_ListInferenceProfiles.html
 */
import type { BedrockClient } from "../bedrock/client.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../json.ts";
import { foundationModelOf, isApplicationProfile } from "./model-id.ts";

export interface CatalogModel {
  readonly id: string;
  /** Unix seconds: the start of the model's life or the profile's creation; 0 where AWS does not say. */
  readonly created: number;
  /** The provider's name in lower case, `aws` for an application profile whose model is unknown. */
  readonly ownedBy: string;
  readonly inputModalities: readonly string[];
  readonly outputModalities: readonly string[];
}

export interface Catalog {
  /** Waits only for the first load. Throws GatewayError when there is none yet and Bedrock can't be asked. */
  list(): Promise<readonly CatalogModel[]>;
  /** The foundation model that an id stands for. Undefined for an application profile that AWS would not explain. */
  foundationModel(id: string): string | undefined | Promise<string | undefined>;
  /**
   * The inference profile to call instead of a foundation model that can't be called by its own id, as far as the lists
   * are loaded: one of a geography before the global one. Undefined where the id can be called as it is.
   */
  profileFor(id: string): ProfileChoice | undefined;
  /** Whether the lists, as far as they are loaded, hold the id. */
  has(id: string): boolean;
}

export interface ProfileChoice {
  readonly geographic: string | undefined;
  readonly global: string | undefined;
}

export interface CatalogOptions {
  readonly client: BedrockClient;
  readonly now: () => number;
  /** A refresh failed and what was known before is served on. */
  readonly onError: (error: unknown) => void;
}

const MAX_AGE_MS = 10 * 60_000;
const RETRY_MS = 15_000;
/** Below Envoy's message timeout: the request for the list waits in the ext_proc exchange. */
const LIST_TIMEOUT_MS = 8_000;
const PROFILE_TIMEOUT_MS = 2_000;
const PAGE_SIZE = "1000";
const MAX_PAGES = 20;
const MAX_RESOLVED_PROFILES = 1_000;

interface FoundationModel extends CatalogModel {
  readonly invocable: boolean;
}

interface Profile {
  readonly id: string;
  readonly arn: string;
  readonly created: number;
  /** The foundation model's id. */
  readonly model: string;
}

export function createCatalog({ client, now, onError }: CatalogOptions): Catalog {
  const foundation = keptList(() => foundationModels(client, now()));
  const systemProfiles = keptList(() => inferenceProfiles(client, "SYSTEM_DEFINED"));
  const applicationProfiles = keptList(() => inferenceProfiles(client, "APPLICATION"));
  const resolved = new Map<string, { model: string | undefined; until: number }>();
  let refreshing: Promise<void> | undefined;
  let refreshAt = 0;

  async function refresh(): Promise<void> {
    const results = await Promise.allSettled([foundation.load(), systemProfiles.load(), applicationProfiles.load()]);
    const failures = results.filter((result) => result.status === "rejected");
    refreshAt = now() + (failures.length === 0 ? MAX_AGE_MS : RETRY_MS);
    refreshing = undefined;
    for (const failure of failures) onError(failure.reason);
    if (foundation.items === undefined) throw failures[0]?.reason;
  }

  async function resolveProfile(arn: string): Promise<string | undefined> {
    let model: string | undefined;
    try {
      const profile = object(
        await client.get(`/inference-profiles/${encodeURIComponent(arn)}`, {}, PROFILE_TIMEOUT_MS),
      );
      model = profileModel(profile);
    } catch (error) {
      onError(error);
    }
    if (resolved.size >= MAX_RESOLVED_PROFILES) resolved.clear();
    // What a profile stands for never changes; a failure is worth another try in a while.
    resolved.set(arn, { model, until: model === undefined ? now() + RETRY_MS : Number.POSITIVE_INFINITY });
    return model;
  }

  return {
    async list() {
      // Without any list there is nothing to serve meanwhile: each asks again, and none is told that there are no models.
      if ((foundation.items === undefined || now() >= refreshAt) && refreshing === undefined) {
        refreshing = refresh();
        refreshing.catch(() => {}); // Whoever has to wait for it sees the failure below.
      }
      if (foundation.items === undefined) await (refreshing ?? Promise.resolve());
      return merge(foundation.items ?? [], systemProfiles.items ?? [], applicationProfiles.items ?? []);
    },
    profileFor(id) {
      const model = foundation.items?.find((item) => item.id === id);
      if (model === undefined || model.invocable) return undefined;
      const profiles = (systemProfiles.items ?? []).filter((profile) => profile.model === id);
      return {
        geographic: profiles.find((profile) => !profile.id.startsWith("global."))?.id,
        global: profiles.find((profile) => profile.id.startsWith("global."))?.id,
      };
    },
    has(id) {
      const profiles = [...(systemProfiles.items ?? []), ...(applicationProfiles.items ?? [])];
      return (
        foundation.items?.some((model) => model.id === id) === true ||
        profiles.some((profile) => profile.id === id || profile.arn === id)
      );
    },
    foundationModel(id) {
      if (!isApplicationProfile(id)) return foundationModelOf(id);
      const listed = applicationProfiles.items?.find((profile) => profile.arn === id);
      if (listed !== undefined) return listed.model;
      const known = resolved.get(id);
      return known !== undefined && now() < known.until ? known.model : resolveProfile(id);
    },
  };
}

function keptList<T>(fetch: () => Promise<T[]>) {
  let items: T[] | undefined;
  return {
    get items() {
      return items;
    },
    async load() {
      items = await fetch();
    },
  };
}

async function foundationModels(client: BedrockClient, now: number): Promise<FoundationModel[]> {
  const answer = object(await client.get("/foundation-models", {}, LIST_TIMEOUT_MS));
  return objects(answer.modelSummaries).flatMap((summary) => {
    const id = text(summary.modelId);
    const lifecycle = object(summary.modelLifecycle);
    const endOfLife = seconds(lifecycle.endOfLifeTime);
    if (id === undefined || (endOfLife > 0 && endOfLife * 1000 <= now)) return [];
    return [
      {
        id,
        created: seconds(lifecycle.startOfLifeTime),
        ownedBy: (text(summary.providerName) ?? "aws").toLowerCase(),
        inputModalities: texts(summary.inputModalities),
        outputModalities: texts(summary.outputModalities),
        invocable: texts(summary.inferenceTypesSupported).includes("ON_DEMAND"),
      },
    ];
  });
}

async function inferenceProfiles(client: BedrockClient, type: "SYSTEM_DEFINED" | "APPLICATION"): Promise<Profile[]> {
  const profiles: Profile[] = [];
  let nextToken: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const query = { maxResults: PAGE_SIZE, type, ...(nextToken === undefined ? {} : { nextToken }) };
    const answer = object(await client.get("/inference-profiles", query, LIST_TIMEOUT_MS));
    for (const summary of objects(answer.inferenceProfileSummaries)) {
      const arn = text(summary.inferenceProfileArn);
      const id = type === "APPLICATION" ? arn : text(summary.inferenceProfileId);
      const model = profileModel(summary);
      if (arn === undefined || id === undefined || model === undefined || summary.status !== "ACTIVE") continue;
      profiles.push({ id, arn, created: seconds(summary.createdAt), model });
    }
    nextToken = text(answer.nextToken);
    if (nextToken === undefined) break;
  }
  return profiles;
}

/** Joined by the model's ARN: a profile's id does not have to look like its model's. */
function profileModel(profile: JsonObject): string | undefined {
  const arn = text(objects(profile.models)[0]?.modelArn);
  return arn === undefined ? undefined : foundationModelOf(arn);
}

/** Models that take a request by their own id, then profiles. What gives neither text nor embeddings is left out. */
function merge(
  foundation: readonly FoundationModel[],
  system: readonly Profile[],
  application: readonly Profile[],
): CatalogModel[] {
  const usable = foundation.filter(
    ({ outputModalities }) => outputModalities.includes("TEXT") || outputModalities.includes("EMBEDDING"),
  );
  const byId = new Map(usable.map((model) => [model.id, model]));
  const unusable = new Set(foundation.filter((model) => !byId.has(model.id)).map((model) => model.id));
  const models: CatalogModel[] = usable.filter((model) => model.invocable).map(listed);
  for (const profile of [...system, ...application]) {
    const model = byId.get(profile.model);
    if (model !== undefined)
      models.push({ ...listed(model), id: profile.id, created: profile.created || model.created });
    else if (!unusable.has(profile.model))
      models.push({
        id: profile.id,
        created: profile.created,
        ownedBy: "aws",
        inputModalities: [],
        outputModalities: [],
      });
  }
  return models;
}

function listed({ id, created, ownedBy, inputModalities, outputModalities }: CatalogModel): CatalogModel {
  return { id, created, ownedBy, inputModalities, outputModalities };
}

function object(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}

function objects(value: JsonValue | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function text(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function texts(value: JsonValue | undefined): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function seconds(value: JsonValue | undefined): number {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? 0 : Math.floor(time / 1000);
}
