/**
 * The lists of Bedrock's control plane, as far as a client that speaks Bedrock itself needs them to choose a model: ids, and
 * what is behind them. Pure.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html and API_ListFoundationModels.html.
 * Names, ARNs of profiles (they hold the gateway's account) and pages are left out: all is one page.
 */
import type { CatalogModel } from "../models/catalog.ts";
import { foundationModelOf } from "../models/model-id.ts";

export const NATIVE_LISTS = ["inference-profiles", "foundation-models"] as const;

export type NativeList = (typeof NATIVE_LISTS)[number];

export function nativeList(list: NativeList, models: readonly CatalogModel[], query: URLSearchParams): unknown {
  switch (list) {
    case "inference-profiles":
      return inferenceProfiles(models, query.get("type") ?? "SYSTEM_DEFINED");
    case "foundation-models":
      return { modelSummaries: models.filter(({ id }) => !isProfile(id)).map(foundationModel) };
  }
}

function inferenceProfiles(models: readonly CatalogModel[], type: string) {
  const profiles = models.filter(({ id }) => isProfile(id));
  return {
    inferenceProfileSummaries: profiles
      .filter(({ id }) => (type === "APPLICATION") === isArn(id))
      .map(({ id, created }) => ({
        inferenceProfileId: id,
        inferenceProfileName: id,
        ...(isArn(id) ? { inferenceProfileArn: id } : {}),
        models: isArn(id) ? [] : [{ modelArn: modelArn(foundationModelOf(id)) }],
        status: "ACTIVE",
        type: isArn(id) ? "APPLICATION" : "SYSTEM_DEFINED",
        createdAt: new Date(created * 1000).toISOString(),
        updatedAt: new Date(created * 1000).toISOString(),
      })),
  };
}

function foundationModel({ id, ownedBy, inputModalities, outputModalities }: CatalogModel) {
  return {
    modelId: id,
    modelName: id,
    modelArn: modelArn(id),
    providerName: ownedBy,
    inputModalities,
    outputModalities,
    responseStreamingSupported: outputModalities.includes("TEXT"),
    inferenceTypesSupported: ["ON_DEMAND"],
    modelLifecycle: { status: "ACTIVE" },
  };
}

function isProfile(id: string): boolean {
  return isArn(id) || foundationModelOf(id) !== id;
}

function isArn(id: string): boolean {
  return id.startsWith("arn:");
}

function modelArn(id: string): string {
  return `arn:aws:bedrock:::foundation-model/${id}`;
}
