/**
 * Bedrock's control plane, as far as a model catalog needs it.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html, API_ListInferenceProfiles.html
 * and API_GetInferenceProfile.html. A region lists only the profiles that can be called from it. Filters of
 * ListFoundationModels are left out.
 */
import type { JsonObject } from "../json.ts";
import { APPLICATION_PROFILES, type ApplicationProfile, type CatalogModel, GEOGRAPHIES } from "./catalog.ts";
import { Refusal } from "./failure.ts";

const ACCOUNT = "123456789012";
const MAX_RESULTS = 1000;

export class ControlPlane {
  readonly #models: readonly CatalogModel[];

  constructor(models: readonly CatalogModel[]) {
    this.#models = models;
  }

  /** The listed model behind a bare id, a profile id or the ARN of either. */
  find(modelId: string): CatalogModel | undefined {
    const id = modelId.slice(modelId.lastIndexOf("/") + 1);
    const application = APPLICATION_PROFILES.find((profile) => profile.id === id);
    return this.#models.find((model) => {
      if (model.modelId === (application?.modelId ?? id)) return true;
      return model.profiles.some((prefix) => id === `${prefix}.${model.modelId}`);
    });
  }

  listFoundationModels(region: string): JsonObject {
    return { modelSummaries: this.#models.map((model) => summary(model, region)) };
  }

  getFoundationModel(modelId: string, region: string): JsonObject {
    const model = this.#models.find((one) => modelId === one.modelId || modelId === modelArn(one.modelId, region));
    if (model === undefined) throw new Refusal("ResourceNotFoundException", "The model does not exist.");
    return { modelDetails: summary(model, region) };
  }

  listInferenceProfiles(query: URLSearchParams, region: string): JsonObject {
    const type = query.get("type") ?? "SYSTEM_DEFINED";
    if (type !== "SYSTEM_DEFINED" && type !== "APPLICATION")
      throw new Refusal(
        "ValidationException",
        `Value '${type}' at 'typeEquals' must be SYSTEM_DEFINED or APPLICATION.`,
      );
    const profiles = this.#profiles(region).filter((profile) => profile.type === type);
    const size = pageSize(query.get("maxResults"));
    const from = pageStart(query.get("nextToken"));
    const more = from + size < profiles.length ? { nextToken: pageToken(from + size) } : {};
    return { inferenceProfileSummaries: profiles.slice(from, from + size), ...more };
  }

  getInferenceProfile(identifier: string, region: string): JsonObject {
    const found = this.#profiles(region).find(
      (profile) => identifier === profile.inferenceProfileId || identifier === profile.inferenceProfileArn,
    );
    if (found === undefined) throw new Refusal("ResourceNotFoundException", "The inference profile does not exist.");
    return found;
  }

  #profiles(region: string): JsonObject[] {
    const system = this.#models.flatMap((model) =>
      model.profiles
        .filter((prefix) => callableFrom(prefix, region))
        .map((prefix) => systemProfile(model, prefix, region)),
    );
    return [...system, ...APPLICATION_PROFILES.map((profile) => applicationProfile(profile, region))];
  }
}

function summary(model: CatalogModel, region: string): JsonObject {
  return {
    modelArn: modelArn(model.modelId, region),
    modelId: model.modelId,
    modelName: model.modelName,
    providerName: model.providerName,
    inputModalities: model.inputModalities,
    outputModalities: model.outputModalities,
    responseStreamingSupported: model.responseStreamingSupported,
    customizationsSupported: [],
    inferenceTypesSupported: [
      ...(model.onDemand ? ["ON_DEMAND"] : []),
      ...(model.profiles.length > 0 ? ["INFERENCE_PROFILE"] : []),
    ],
    modelLifecycle: { status: model.status, startOfLifeTime: model.startOfLifeTime },
  };
}

function systemProfile(model: CatalogModel, prefix: string, region: string): JsonObject {
  const id = `${prefix}.${model.modelId}`;
  const label = prefix === "global" ? "Global" : prefix.toUpperCase();
  return {
    inferenceProfileName: `${label} ${model.providerName} ${model.modelName}`,
    description: `Routes requests to ${model.modelName} in ${prefix === "global" ? "all regions" : label}.`,
    createdAt: model.startOfLifeTime,
    updatedAt: model.startOfLifeTime,
    inferenceProfileArn: `arn:aws:bedrock:${region}:${ACCOUNT}:inference-profile/${id}`,
    models: destinations(prefix, region).map((to) => ({ modelArn: modelArn(model.modelId, to) })),
    inferenceProfileId: id,
    status: "ACTIVE",
    type: "SYSTEM_DEFINED",
  };
}

function applicationProfile(profile: ApplicationProfile, region: string): JsonObject {
  return {
    inferenceProfileName: profile.name,
    createdAt: "2026-03-01T09:00:00Z",
    updatedAt: "2026-03-01T09:00:00Z",
    inferenceProfileArn: `arn:aws:bedrock:${region}:${ACCOUNT}:application-inference-profile/${profile.id}`,
    models: [{ modelArn: modelArn(profile.modelId, region) }],
    inferenceProfileId: profile.id,
    status: "ACTIVE",
    type: "APPLICATION",
  };
}

function callableFrom(prefix: string, region: string): boolean {
  if (prefix === "global") return true;
  if (prefix === "us" || prefix === "eu") return region.startsWith(`${prefix}-`);
  return GEOGRAPHIES[prefix]?.includes(region) ?? false;
}

/** A global profile names the calling region and, with an empty region, all the others. */
function destinations(prefix: string, region: string): readonly string[] {
  return prefix === "global" ? [region, ""] : (GEOGRAPHIES[prefix] ?? [region]);
}

function modelArn(modelId: string, region: string): string {
  return `arn:aws:bedrock:${region}::foundation-model/${modelId}`;
}

function pageSize(text: string | null): number {
  const size = text === null ? MAX_RESULTS : Number(text);
  if (!Number.isInteger(size) || size < 1 || size > MAX_RESULTS)
    throw new Refusal("ValidationException", `Value '${text}' at 'maxResults' must be between 1 and ${MAX_RESULTS}.`);
  return size;
}

/** Opaque, and with characters that a query must encode, as on the real service. */
function pageToken(from: number): string {
  return `${Buffer.from(`page+from/${from}?`).toString("base64")}+/=`;
}

function pageStart(token: string | null): number {
  if (token === null) return 0;
  const from = /^page\+from\/(\d+)\?$/.exec(Buffer.from(token.replace(/\+\/=$/, ""), "base64").toString());
  if (from === null) throw new Refusal("ValidationException", "The nextToken is not valid.");
  return Number(from[1]);
}
