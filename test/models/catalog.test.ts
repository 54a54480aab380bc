import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GatewayError } from "../../src/errors.ts";
import { createCatalog } from "../../src/models/catalog.ts";

const NOW = Date.UTC(2026, 10, 22);
const MINUTE = 60_000;
const ARN = "arn:aws:bedrock:us-east-1::foundation-model/";
const APPLICATION = "arn:aws:bedrock:us-east-1:1:application-inference-profile/";

type Query = Readonly<Record<string, string>>;

describe("the list of models", () => {
  it("has the models that take requests by their own id, then profiles, without what gives neither text nor embeddings", async () => {
    const { catalog } = setUp();
    const models = await catalog.list();
    assert.deepEqual(
      models.map(({ id }) => id),
      [
        "amazon.nova-lite-v1:0",
        "amazon.titan-embed-text-v2:0",
        "us.amazon.nova-lite-v1:0",
        "global.anthropic.claude-sonnet-5",
        "eu.odd-name",
        "us.unknown.model",
        `${APPLICATION}team-a`,
      ],
    );
  });

  it("joins a profile with its model by the model's ARN, whatever the profile is called", async () => {
    const { catalog } = setUp();
    const models = await catalog.list();
    const find = (id: string) => models.find((model) => model.id === id);
    assert.deepEqual(find("eu.odd-name"), {
      id: "eu.odd-name",
      created: 1_700_000_000,
      ownedBy: "anthropic",
      inputModalities: ["TEXT", "IMAGE"],
      outputModalities: ["TEXT"],
    });
    assert.equal(find(`${APPLICATION}team-a`)?.ownedBy, "amazon");
    // No date of its own: the model's.
    assert.equal(find("global.anthropic.claude-sonnet-5")?.created, 1_690_000_000);
    assert.deepEqual(find("us.unknown.model"), {
      id: "us.unknown.model",
      created: 0,
      ownedBy: "aws",
      inputModalities: [],
      outputModalities: [],
    });
  });

  it("leaves out models past the end of their life, on the second", async () => {
    const { catalog, answers, clock } = setUp();
    answers.foundation = [
      foundation("a.past", { modelLifecycle: { endOfLifeTime: iso(NOW) } }),
      foundation("a.future", { modelLifecycle: { endOfLifeTime: iso(NOW + 1000) } }),
    ];
    answers.system = [];
    answers.application = [];
    assert.deepEqual(
      (await catalog.list()).map(({ id }) => id),
      ["a.future"],
    );
    clock.now += 10 * MINUTE;
    await catalog.list();
    await settled();
    assert.deepEqual(await catalog.list(), []);
  });

  it("reads all pages of profiles, and asks for the next one by its token", async () => {
    const { catalog, answers, asked } = setUp();
    answers.foundation = [foundation("a.m")];
    answers.application = [];
    answers.systemPages = [
      { inferenceProfileSummaries: [profile("us.a.m", "a.m")], nextToken: "t/1+" },
      { inferenceProfileSummaries: [profile("eu.a.m", "a.m")], nextToken: "t2" },
      { inferenceProfileSummaries: [profile("jp.a.m", "a.m")] },
    ];
    assert.deepEqual(
      (await catalog.list()).map(({ id }) => id),
      ["a.m", "us.a.m", "eu.a.m", "jp.a.m"],
    );
    const queries = asked.filter(({ query }) => query.type === "SYSTEM_DEFINED").map(({ query }) => query);
    assert.deepEqual(queries, [
      { maxResults: "1000", type: "SYSTEM_DEFINED" },
      { maxResults: "1000", type: "SYSTEM_DEFINED", nextToken: "t/1+" },
      { maxResults: "1000", type: "SYSTEM_DEFINED", nextToken: "t2" },
    ]);
  });

  it("gives up on pages that never end", async () => {
    const { catalog, answers, asked } = setUp();
    answers.systemPages = Array(1_000).fill({ inferenceProfileSummaries: [], nextToken: "again" });
    await catalog.list();
    assert.equal(asked.filter(({ query }) => query.type === "SYSTEM_DEFINED").length, 20);
  });

  it("survives answers that are not what AWS documents", async () => {
    const { catalog, answers } = setUp();
    answers.foundation = [null, 7, {}, { modelId: 3 }, foundation("a.m", { modelLifecycle: "x", providerName: null })];
    answers.system = [
      {},
      { inferenceProfileId: "x", status: "ACTIVE", models: "none" },
      profile("us.a.m", "a.m", { status: "CREATING" }),
    ];
    answers.application = [];
    assert.deepEqual(
      (await catalog.list()).map(({ id, ownedBy }) => [id, ownedBy]),
      [["a.m", "aws"]],
    );
  });

  it("is loaded once for all who wait, then served for ten minutes", async () => {
    const { catalog, asked, clock } = setUp();
    await Promise.all([catalog.list(), catalog.list(), catalog.list()]);
    assert.equal(asked.length, 3);
    clock.now += 10 * MINUTE - 1;
    await catalog.list();
    assert.equal(asked.length, 3);
  });

  it("is refreshed in the background, one refresh at a time, and nobody waits", async () => {
    const { catalog, answers, asked, clock } = setUp();
    const before = await catalog.list();
    clock.now += 10 * MINUTE;
    const gate = Promise.withResolvers<void>();
    answers.gate = gate.promise;
    answers.foundation = [foundation("a.new")];
    for (let request = 0; request < 5; request++) assert.deepEqual(await catalog.list(), before);
    clock.now += 60 * MINUTE;
    assert.deepEqual(await catalog.list(), before);
    assert.equal(asked.length, 6);
    gate.resolve();
    await settled();
    assert.equal((await catalog.list())[0]?.id, "a.new");
    assert.equal(asked.length, 6);
  });

  it("keeps each list whose refresh failed, says so, and tries again fifteen seconds later", async () => {
    const { catalog, answers, asked, clock, errors } = setUp();
    const before = await catalog.list();
    clock.now += 10 * MINUTE;
    answers.failing = /./;
    await catalog.list();
    await settled();
    assert.equal(errors.length, 3);
    assert.deepEqual(await catalog.list(), before);
    clock.now += 14_999;
    await catalog.list();
    assert.equal(asked.length, 6);
    clock.now += 1;
    answers.failing = /APPLICATION/;
    answers.foundation = [];
    answers.system = [];
    await catalog.list();
    await settled();
    assert.equal(asked.length, 9);
    // The application profile stays, and its model is not known any more.
    assert.deepEqual(
      (await catalog.list()).map(({ id }) => id),
      [`${APPLICATION}team-a`],
    );
  });

  it("has what could be loaded when the profiles can't be", async () => {
    const { catalog, answers, errors } = setUp();
    answers.failing = /inference-profiles/;
    assert.deepEqual(
      (await catalog.list()).map(({ id }) => id),
      ["amazon.nova-lite-v1:0", "amazon.titan-embed-text-v2:0"],
    );
    assert.equal(errors.length, 2);
  });

  it("throws while it has never been loaded, never an empty list, and asks again each time", async () => {
    const { catalog, answers, asked, clock } = setUp();
    answers.failing = /./;
    for (const waited of [0, 1, 5_000]) {
      clock.now += waited;
      await assert.rejects(catalog.list(), { code: "upstream_unavailable" });
    }
    assert.equal(asked.length, 9);
    answers.failing = undefined;
    assert.equal((await catalog.list()).length, 7);
  });
});

describe("the foundation model of an id", () => {
  it("is known at once for everything but application profiles, without asking AWS", () => {
    const { catalog, asked } = setUp();
    assert.equal(catalog.foundationModel("us.amazon.nova-lite-v1:0"), "amazon.nova-lite-v1:0");
    assert.equal(catalog.foundationModel(`${ARN}amazon.nova-lite-v1:0`), "amazon.nova-lite-v1:0");
    assert.equal(asked.length, 0);
  });

  it("is looked up for an application profile, in at most two seconds, and never again", async () => {
    const { catalog, asked } = setUp();
    assert.equal(await catalog.foundationModel(`${APPLICATION}team-b`), "anthropic.claude-sonnet-5");
    assert.deepEqual(asked, [
      { path: `/inference-profiles/${encodeURIComponent(`${APPLICATION}team-b`)}`, query: {}, timeoutMs: 2_000 },
    ]);
    assert.equal(await catalog.foundationModel(`${APPLICATION}team-b`), "anthropic.claude-sonnet-5");
    assert.equal(asked.length, 1);
  });

  it("comes from the list where that has the profile", async () => {
    const { catalog, asked } = setUp();
    await catalog.list();
    assert.equal(catalog.foundationModel(`${APPLICATION}team-a`), "amazon.nova-lite-v1:0");
    assert.equal(asked.length, 3);
  });

  it("is undefined when AWS does not say, and asked for again fifteen seconds later", async () => {
    const { catalog, answers, asked, clock, errors } = setUp();
    answers.failing = /./;
    const id = `${APPLICATION}team-b`;
    assert.equal(await catalog.foundationModel(id), undefined);
    assert.equal(errors.length, 1);
    clock.now += 14_999;
    assert.equal(await catalog.foundationModel(id), undefined);
    assert.equal(asked.length, 1);
    clock.now += 1;
    answers.failing = undefined;
    assert.equal(await catalog.foundationModel(id), "anthropic.claude-sonnet-5");
    assert.equal(asked.length, 2);
  });
});

describe("the profile to call instead of a model", () => {
  it("is known once the lists are loaded, for a model that takes no requests by its own id alone", async () => {
    const { catalog, answers } = setUp();
    assert.equal(catalog.profileFor("anthropic.claude-sonnet-5"), undefined);
    answers.system.push(profile("eu.anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5"));
    await catalog.list();
    assert.deepEqual(catalog.profileFor("anthropic.claude-sonnet-5"), {
      geographic: "eu.odd-name",
      global: "global.anthropic.claude-sonnet-5",
    });
    assert.deepEqual(catalog.profileFor("amazon.provisioned"), { geographic: undefined, global: undefined });
    for (const id of ["amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0", "no.such-model"])
      assert.equal(catalog.profileFor(id), undefined, id);
  });
});

function setUp() {
  const clock = { now: NOW };
  const errors: unknown[] = [];
  const asked: { path: string; query: Query; timeoutMs: number }[] = [];
  const answers: {
    foundation: unknown[];
    system: unknown[];
    application: unknown[];
    systemPages?: unknown[];
    failing?: RegExp | undefined;
    gate?: Promise<void>;
  } = {
    foundation: [
      foundation("amazon.nova-lite-v1:0", { providerName: "Amazon" }),
      foundation("anthropic.claude-sonnet-5", {
        providerName: "Anthropic",
        inputModalities: ["TEXT", "IMAGE"],
        inferenceTypesSupported: ["INFERENCE_PROFILE"],
        modelLifecycle: { startOfLifeTime: iso(1_690_000_000_000) },
      }),
      foundation("amazon.titan-embed-text-v2:0", { outputModalities: ["EMBEDDING"] }),
      foundation("amazon.nova-canvas-v1:0", { outputModalities: ["IMAGE"] }),
      foundation("amazon.provisioned", { inferenceTypesSupported: ["PROVISIONED"] }),
    ],
    system: [
      profile("us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
      profile("global.anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5"),
      profile("eu.odd-name", "anthropic.claude-sonnet-5", { createdAt: iso(1_700_000_000_000) }),
      profile("us.amazon.nova-canvas-v1:0", "amazon.nova-canvas-v1:0"),
      profile("us.unknown.model", "unknown.model"),
      profile("us.gone", "amazon.nova-lite-v1:0", { status: "DELETED" }),
    ],
    application: [profile("team-a", "amazon.nova-lite-v1:0", { inferenceProfileArn: `${APPLICATION}team-a` })],
  };
  const client = {
    async get(path: string, query: Query, timeoutMs: number): Promise<unknown> {
      asked.push({ path, query, timeoutMs });
      await answers.gate;
      if (answers.failing?.test(`${path} ${query.type}`)) throw new GatewayError("upstream_unavailable", "down");
      if (path === "/foundation-models") return { modelSummaries: answers.foundation };
      if (path !== "/inference-profiles") return profile("team-b", "anthropic.claude-sonnet-5");
      if (query.type === "APPLICATION") return { inferenceProfileSummaries: answers.application };
      return answers.systemPages?.shift() ?? { inferenceProfileSummaries: answers.system };
    },
  };
  const catalog = createCatalog({ client, now: () => clock.now, onError: (error) => errors.push(error) });
  return { catalog, answers, asked, clock, errors };
}

function foundation(modelId: string, more: object = {}): object {
  return {
    modelId,
    modelArn: ARN + modelId,
    inputModalities: ["TEXT"],
    outputModalities: ["TEXT"],
    inferenceTypesSupported: ["ON_DEMAND"],
    modelLifecycle: { status: "ACTIVE" },
    ...more,
  };
}

function profile(id: string, model: string, more: object = {}): object {
  return {
    inferenceProfileId: id,
    inferenceProfileArn: `arn:aws:bedrock:us-east-1:1:inference-profile/${id}`,
    models: [{ modelArn: ARN + model }, { modelArn: ARN.replace("us-east-1", "us-west-2") + model }],
    status: "ACTIVE",
    ...more,
  };
}

function iso(time: number): string {
  return new Date(time).toISOString();
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
