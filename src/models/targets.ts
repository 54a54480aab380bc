/**
 * What a client's `model` stands for: an ordered list of places to call, resolved once and passed on.
 *
 * An operator's alias becomes its model; a foundation model that only an inference profile can call becomes that profile;
 * the operator's fallbacks follow. An id that nobody knows goes to Bedrock as it is.
 */
import type { Catalog, ProfileChoice } from "./catalog.ts";

export interface Target {
  /** What the client, or the operator's fallback, calls the model. */
  readonly name: string;
  /** The id or ARN in Bedrock's path. */
  readonly modelId: string;
  readonly region: string;
  /** The foundation model behind it; undefined where AWS would not say. */
  readonly foundationModel: string | undefined;
}

/** As a client may hear of it: an ARN that it did not write itself would tell it the account. */
export function publicName({ modelId, foundationModel }: Target): string {
  return modelId.startsWith("arn:") ? (foundationModel ?? "an inference profile") : modelId;
}

export interface Targets {
  /** At least one, the preferred one first. */
  resolve(model: string): Promise<readonly Target[]>;
  /** The profile to call after Bedrock has said that a model id can't be called by itself. */
  profileOf(target: Target): Promise<Target | undefined>;
  /** Names that clients may use besides the catalog's, and the models that they stand for. */
  readonly aliases: ReadonlyMap<string, string>;
}

export interface TargetRules {
  readonly aliases: ReadonlyMap<string, { readonly model: string; readonly region?: string }>;
  readonly fallbacks: ReadonlyMap<string, readonly { readonly model?: string; readonly region?: string }[]>;
  readonly automaticProfiles: "geo" | "global" | "off";
}

export function createTargets(catalog: Catalog, region: string, rules: TargetRules): Targets {
  async function target(name: string, model: string, where: string | undefined): Promise<Target> {
    const modelId = callableId(model, where);
    return { name, modelId, region: where ?? region, foundationModel: await catalog.foundationModel(modelId) };
  }

  /** The catalog is the gateway's own region's: in another one an id is sent as it is written. */
  function callableId(model: string, where: string | undefined): string {
    if (where !== undefined && where !== region) return model;
    return chosen(catalog.profileFor(model)) ?? model;
  }

  function chosen(profiles: ProfileChoice | undefined): string | undefined {
    if (profiles === undefined || rules.automaticProfiles === "off") return undefined;
    return profiles.geographic ?? (rules.automaticProfiles === "global" ? profiles.global : undefined);
  }

  return {
    aliases: new Map([...rules.aliases].map(([name, { model }]) => [name, model])),
    async resolve(model) {
      const alias = rules.aliases.get(model);
      const first = await target(model, alias?.model ?? model, alias?.region);
      const fallbacks = rules.fallbacks.get(model) ?? rules.fallbacks.get(alias?.model ?? model) ?? [];
      const others = fallbacks.map((fallback) =>
        target(fallback.model ?? model, fallback.model ?? alias?.model ?? model, fallback.region),
      );
      return [first, ...(await Promise.all(others))];
    },
    async profileOf(failed) {
      if (rules.automaticProfiles === "off" || failed.region !== region) return undefined;
      await catalog.list();
      const modelId = chosen(catalog.profileFor(failed.modelId));
      return modelId === undefined ? undefined : { ...failed, modelId };
    },
  };
}
