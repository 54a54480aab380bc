import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Catalog, ProfileChoice } from "../../src/models/catalog.ts";
import { createTargets, type TargetRules } from "../../src/models/targets.ts";

const ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x";
const PROFILES: Readonly<Record<string, ProfileChoice>> = {
  "a.both": { geographic: "us.a.both", global: "global.a.both" },
  "a.geographic": { geographic: "us.a.geographic", global: undefined },
  "a.global": { geographic: undefined, global: "global.a.global" },
  "a.none": { geographic: undefined, global: undefined },
};

describe("a model", () => {
  it("is called as it is written in the gateway's own region, whether or not anybody knows it", async () => {
    const { resolve } = setUp();
    assert.deepEqual(await resolve("a.plain"), [
      { name: "a.plain", modelId: "a.plain", region: "us-east-1", foundationModel: "a.plain" },
    ]);
    assert.deepEqual(await resolve(ARN), [
      { name: ARN, modelId: ARN, region: "us-east-1", foundationModel: undefined },
    ]);
  });

  for (const [rule, ids] of [
    ["geo", ["us.a.both", "us.a.geographic", "a.global", "a.none"]],
    ["global", ["us.a.both", "us.a.geographic", "global.a.global", "a.none"]],
    ["off", ["a.both", "a.geographic", "a.global", "a.none"]],
  ] as const) {
    it(`that only profiles can call becomes a profile: ${rule}`, async () => {
      const { resolve } = setUp({ automaticProfiles: rule });
      const targets = (await Promise.all(Object.keys(PROFILES).map(resolve))).flat();
      assert.deepEqual(
        targets.map(({ modelId }) => modelId),
        ids,
      );
      assert.deepEqual(
        targets.map(({ name }) => name),
        Object.keys(PROFILES),
      );
    });
  }

  it("is called as it is written in another region, whose profiles are not known", async () => {
    const { resolve } = setUp({ aliases: new Map([["far", { model: "a.both", region: "eu-west-1" }]]) });
    assert.deepEqual(await resolve("far"), [
      { name: "far", modelId: "a.both", region: "eu-west-1", foundationModel: "a.both" },
    ]);
  });
});

describe("an alias", () => {
  const aliases = new Map([
    ["fast", { model: "a.both" }],
    ["far", { model: "a.plain", region: "eu-west-1" }],
  ]);

  it("stands for its model, in its region, and keeps its name", async () => {
    const { targets, resolve } = setUp({ aliases });
    assert.deepEqual([...targets.aliases.keys()], ["fast", "far"]);
    assert.deepEqual(
      [...(await resolve("fast")), ...(await resolve("far"))].map(({ name, modelId, region }) => [
        name,
        modelId,
        region,
      ]),
      [
        ["fast", "us.a.both", "us-east-1"],
        ["far", "a.plain", "eu-west-1"],
      ],
    );
  });

  it("has fallbacks of its own before those of its model", async () => {
    const own = setUp({
      aliases,
      fallbacks: new Map([
        ["fast", [{ model: "b.own" }]],
        ["a.both", [{ model: "b.of-model" }]],
      ]),
    });
    assert.deepEqual(await own.ids("fast"), ["us.a.both", "b.own"]);
    assert.deepEqual(await own.ids("a.both"), ["us.a.both", "b.of-model"]);
    const inherited = setUp({ aliases, fallbacks: new Map([["a.both", [{ model: "b.of-model" }]]]) });
    assert.deepEqual(await inherited.ids("fast"), ["us.a.both", "b.of-model"]);
  });
});

describe("fallbacks", () => {
  it("follow in their order, each with the name that a key's list has to hold", async () => {
    const { resolve } = setUp({
      aliases: new Map([["fast", { model: "a.plain" }]]),
      fallbacks: new Map([
        ["fast", [{ region: "us-west-2" }, { model: "a.both" }, { model: "b.far", region: "eu-west-1" }]],
      ]),
    });
    assert.deepEqual(
      (await resolve("fast")).map(({ name, modelId, region }) => [name, modelId, region]),
      [
        ["fast", "a.plain", "us-east-1"],
        ["fast", "a.plain", "us-west-2"],
        ["a.both", "us.a.both", "us-east-1"],
        ["b.far", "b.far", "eu-west-1"],
      ],
    );
  });

  it("are no one else's", async () => {
    const { ids } = setUp({ fallbacks: new Map([["a.plain", [{ model: "b" }]]]) });
    assert.deepEqual(await ids("a.other"), ["a.other"]);
    assert.deepEqual(await ids("constructor"), ["constructor"]);
  });
});

describe("the profile of a model that Bedrock has refused", () => {
  const failed = { name: "n", modelId: "a.both", region: "us-east-1", foundationModel: "a.both" };

  it("is looked up once the list of models is there", async () => {
    let loaded = false;
    const { targets } = setUp(
      {},
      {
        async list() {
          loaded = true;
          return [];
        },
        profileFor: (id) => (loaded ? PROFILES[id] : undefined),
      },
    );
    assert.deepEqual((await targets.resolve("a.both"))[0]?.modelId, "a.both");
    assert.deepEqual(await targets.profileOf(failed), { ...failed, modelId: "us.a.both" });
    assert.equal((await targets.resolve("a.both"))[0]?.modelId, "us.a.both");
  });

  it("is none where there is none, in another region, or where the operator wants none", async () => {
    const noList = { list: () => Promise.reject(new Error("the list is not asked for")) };
    assert.equal(await setUp().targets.profileOf({ ...failed, modelId: "a.none" }), undefined);
    assert.equal(await setUp().targets.profileOf({ ...failed, modelId: "us.a.both" }), undefined);
    assert.equal(await setUp({}, noList).targets.profileOf({ ...failed, region: "eu-west-1" }), undefined);
    assert.equal(await setUp({ automaticProfiles: "off" }, noList).targets.profileOf(failed), undefined);
  });

  it("can't be said when there is no list", async () => {
    const list = () => Promise.reject(new Error("no list"));
    await assert.rejects(setUp({}, { list }).targets.profileOf(failed), /no list/);
  });
});

function setUp(rules: Partial<TargetRules> = {}, catalog: Partial<Catalog> = {}) {
  const targets = createTargets(
    {
      list: async () => [],
      foundationModel: (id) => (id.startsWith("arn:") ? Promise.resolve(undefined) : id.replace(/^(us|global)\./, "")),
      profileFor: (id) => (Object.hasOwn(PROFILES, id) ? PROFILES[id] : undefined),
      has: (id) => Object.hasOwn(PROFILES, id),
      ...catalog,
    },
    "us-east-1",
    { aliases: new Map(), fallbacks: new Map(), automaticProfiles: "geo", ...rules },
  );
  return {
    targets,
    resolve: (model: string) => targets.resolve(model),
    ids: async (model: string) => (await targets.resolve(model)).map(({ modelId }) => modelId),
  };
}
