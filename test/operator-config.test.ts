import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ConfigError } from "../src/config.ts";
import { CAPABILITY_TABLE, UNKNOWN_MODEL } from "../src/models/capability-table.ts";
import { type OperatorConfig, parseOperatorConfig, readOperatorConfig } from "../src/operator-config.ts";

const REGION = "us-east-1";
const SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

const DEFAULTS = {
  models: { aliases: new Map(), fallbacks: new Map(), capabilities: [] },
  regions: { allowed: [REGION] },
  images: { fetch: { enabled: false, allow: [], maxBytes: 5 * 1024 * 1024, timeoutMs: 8_000 } },
  caching: { auto: undefined },
  s3: { buckets: [] },
  profiles: { automatic: "geo" },
  prices: [],
  limits: { redisLost: "local", unpriced: "refuse" },
  retention: { calls: undefined, totals: undefined },
  responses: { store: undefined },
  metrics: { keyLabels: false },
};

describe("the operator's file", () => {
  it("may be absent, empty, comments alone, or sections without content", async () => {
    assert.deepEqual(await readOperatorConfig(undefined, REGION), DEFAULTS);
    for (const text of [
      "",
      "\n",
      "# nothing yet\n",
      "{}",
      "models:\nregions:\nimages:\n  fetch:\n    allow:\ns3:\n  buckets:\ncaching:\n  auto:\nprofiles:\nprices:\nlimits:\nretention:\nresponses:\nmetrics:\n",
    ]) {
      assert.deepEqual(parse(text), DEFAULTS, JSON.stringify(text));
    }
  });

  it("is read from its path, Windows line ends and byte order mark included", async (t) => {
    const dir = await mkdtemp(join(tmpdir(), "gateway-config-"));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const path = join(dir, "gateway.yaml");
    await writeFile(path, "\ufeffprofiles:\r\n  automatic: off\r\n");
    assert.equal((await readOperatorConfig(path, REGION)).profiles.automatic, "off");
    await assert.rejects(
      readOperatorConfig(join(dir, "missing.yaml"), REGION),
      (error) => error instanceof ConfigError && /GATEWAY_CONFIG must name a readable file: ENOENT/.test(error.message),
    );
  });

  it("is frozen, defaults too", () => {
    for (const config of [
      parse(""),
      parse(`models: {aliases: {a: x}, fallbacks: {a: [b]}}\nimages: {fetch: {allow: [a.com]}}`),
    ]) {
      const parts = [config, config.models, config.images.fetch, config.images.fetch.allow, config.regions.allowed];
      assert.ok(
        [...parts, ...config.models.aliases.values(), ...config.models.fallbacks.values()].every(Object.isFrozen),
      );
    }
  });
});

describe("models", () => {
  it("has aliases, short or with a region", () => {
    const { aliases } = parse(`
      regions: {allowed: [us-east-1, us-west-2]}
      models:
        aliases:
          gpt-4o: ${SONNET}
          anthropic/claude: {model: "${SONNET}", region: us-west-2}
          profile: arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123`).models;
    assert.deepEqual(
      [...aliases],
      [
        ["gpt-4o", { model: SONNET }],
        ["anthropic/claude", { model: SONNET, region: "us-west-2" }],
        ["profile", { model: "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123" }],
      ],
    );
  });

  it("has fallbacks in order, aliases in them resolved", () => {
    const { fallbacks } = parse(`
      regions: {allowed: [us-east-1, us-west-2, eu-west-1]}
      models:
        aliases: {fast: {model: amazon.nova-lite-v1:0, region: us-west-2}}
        fallbacks:
          ${SONNET}: [{region: us-west-2}, fast, {model: fast, region: eu-west-1}, amazon.nova-pro-v1:0]`).models;
    assert.deepEqual(fallbacks.get(SONNET), [
      { region: "us-west-2" },
      { model: "amazon.nova-lite-v1:0", region: "us-west-2" },
      { model: "amazon.nova-lite-v1:0", region: "eu-west-1" },
      { model: "amazon.nova-pro-v1:0" },
    ]);
  });

  it("says which alias names an alias, and which fallback leads nowhere", () => {
    assert.deepEqual(
      problems(`models:\n  aliases:\n    a: b\n    b: x.y\n  fallbacks:\n    x.y:\n      - x.y\n    z: []`),
      [
        "f:3:5: models.aliases.a must name a model, and b is an alias itself.",
        "f:8:5: models.fallbacks.z must not be empty.",
      ],
    );
    assert.deepEqual(problems(`models:\n  fallbacks:\n    x.y:\n      - x.y\n      - {}\n`), [
      'f:5:9: models.fallbacks["x.y"][1] must name a model, a region or both.',
    ]);
    assert.deepEqual(problems(`models: {fallbacks: {x.y: [x.y]}}`), [
      'f:1:28: models.fallbacks["x.y"][0] is the model that has failed.',
    ]);
  });

  it("takes only names that a client can write and ids that Bedrock can have", () => {
    for (const name of ["a b", "a,b", "a*", ""]) {
      assert.match(
        problems(`models: {aliases: {${JSON.stringify(name)}: x}}`).join(),
        /a model's name without spaces/,
        name,
      );
    }
    for (const id of ["a b", "x?y", "..", ""]) {
      assert.match(
        problems(`models: {aliases: {a: ${JSON.stringify(id)}}}`).join(),
        /aliases\.a\.model must be a Bedrock model id or ARN/,
        id,
      );
    }
    assert.deepEqual(problems("models: {aliases: {a: 3, b: {region: us-east-1}, c: [x]}}"), [
      "f:1:20: models.aliases.a must be a model id, or a mapping with model, got 3.",
      "f:1:26: models.aliases.b.model is missing.",
      "f:1:50: models.aliases.c must be a model id, or a mapping with model, got a list.",
    ]);
  });

  it("has corrections of capabilities, in order", () => {
    const { capabilities } = parse(`
      models:
        capabilities:
          - {match: "anthropic.*", tools: false, cacheTtls: [5m], reasoning: {style: budget, minBudget: 1024}}
          - {match: x.y, maxTokens: 100}`).models;
    assert.deepEqual(capabilities, [
      { match: "anthropic.*", tools: false, cacheTtls: ["5m"], reasoning: { style: "budget", minBudget: 1024 } },
      { match: "x.y", maxTokens: 100 },
    ]);
  });

  it("takes every row of the table of capabilities back", () => {
    const rows = [UNKNOWN_MODEL, ...CAPABILITY_TABLE.map(({ capabilities }) => capabilities)];
    assert.ok(rows.length > 10);
    for (const row of rows) {
      const text = JSON.stringify({ models: { capabilities: [{ match: "x", ...row }] } });
      assert.deepEqual(
        JSON.parse(JSON.stringify(parse(text).models.capabilities[0])),
        JSON.parse(JSON.stringify({ match: "x", ...row })),
      );
    }
  });

  it("says what is wrong with a capability", () => {
    const wrong = problems(`models:
  capabilities:
    - {match: x, tool: true}
    - {match: x, tools: 3}
    - {match: x, streaming: sometimes}
    - {match: x, reasoning: {style: deep}}
    - {match: x, reasoning: {style: budget, minBudget: -1}}
    - {match: x, reasoning: {style: nova, efforts: [low], effort: low}}
    - {match: x, maxTokens: 1.5}
    - {tools: true}
    - {match: x}
    - {match: "x y", tools: true}
`);
    const expected = [
      /^f:3:18: .*\[0\]\.tool is not a key that is known here, did you mean tools\?$/,
      /^f:4:18: .*\[1\]\.tools must be true or false, got 3/,
      /^f:5:18: .*\[2\]\.streaming must be "always" or/,
      /^f:6:18: .*\[3\]\.reasoning must be a mapping whose style is one of none, fixed/,
      /^f:7:45: .*\[4\]\.reasoning\.minBudget must be a whole number/,
      /^f:8:18: .*\[5\]\.reasoning\.bareEffort is missing/,
      /^f:8:59: .*\[5\]\.reasoning\.effort is not a key that is known here, did you mean efforts\?/,
      /^f:9:18: .*\[6\]\.maxTokens must be a whole number/,
      /^f:10:7: .*\[7\]\.match is missing/,
      /^f:11:7: .*\[8\] must set at least one capability/,
      /^f:12:8: .*\[9\]\.match must be a model id in which \* stands for any characters, got "x y"/,
    ];
    assert.equal(wrong.length, expected.length, wrong.join("\n"));
    for (const [index, pattern] of expected.entries()) assert.match(wrong[index] ?? "", pattern);
  });
});

describe("regions", () => {
  it("must hold the gateway's own, once", () => {
    assert.deepEqual(parse("regions: {allowed: [eu-west-1, us-east-1, eu-west-1]}").regions.allowed, [
      "eu-west-1",
      REGION,
    ]);
    assert.deepEqual(problems("regions:\n  allowed: [eu-west-1]"), [
      "f:2:3: regions.allowed must hold the gateway's own region, us-east-1.",
    ]);
  });

  it("bound what aliases and fallbacks may name", () => {
    const file =
      "models:\n  aliases:\n    a: {model: x, region: eu-west-1}\n  fallbacks:\n    x:\n      - region: ap-south-1\n";
    assert.deepEqual(problems(file), [
      "f:3:19: models.aliases.a.region is eu-west-1, which regions.allowed does not hold.",
      "f:6:9: models.fallbacks.x[0].region is ap-south-1, which regions.allowed does not hold.",
    ]);
    parse(`${file}regions: {allowed: [us-east-1, eu-west-1, ap-south-1]}`);
  });

  it("are not bound to the gateway's own while that is not known", () => {
    assert.deepEqual(parseOperatorConfig("regions: {allowed: [eu-west-1]}", "f", undefined).regions.allowed, [
      "eu-west-1",
    ]);
  });

  it("are names of regions", () => {
    assert.match(
      problems("regions: {allowed: [moon, us-east-1]}").join(),
      /regions\.allowed\[0\] must be the name of an AWS region/,
    );
    assert.match(problems("regions: {allowed: us-east-1}").join(), /regions\.allowed must be a list, got "us-east-1"/);
    assert.match(problems("regions: {allowed: []}").join(), /regions\.allowed must not be empty/);
  });
});

describe("images.fetch", () => {
  it("has hosts, sizes and times with units", () => {
    const fetched = parse(
      `images: {fetch: {enabled: true, allow: ["*.example.com", "a.com:8443"], max_bytes: 4 MB, timeout: 500ms}}`,
    );
    assert.deepEqual(fetched.images.fetch, {
      enabled: true,
      allow: ["*.example.com", "a.com:8443"],
      maxBytes: 4_000_000,
      timeoutMs: 500,
    });
    for (const [text, bytes] of [
      ["1", 1],
      ["3.75MB", 3_750_000],
      ["2KiB", 2048],
      ["20MiB", 20 * 1024 * 1024],
      ["7KB", 7000],
    ] as const) {
      assert.equal(parse(`images: {fetch: {max_bytes: ${text}}}`).images.fetch.maxBytes, bytes);
    }
    assert.equal(parse("images: {fetch: {timeout: 1m}}").images.fetch.timeoutMs, 60_000);
  });

  it("refuses other units, and what is out of bounds", () => {
    for (const text of ["0", "-1", "1.5", "21MiB", "5GB", "five", "true"]) {
      assert.match(
        problems(`images: {fetch: {max_bytes: ${text}}}`).join(),
        /max_bytes must be a number of bytes/,
        text,
      );
    }
    for (const text of ["8", "0s", "61s", "2m", "1h", "8 s", "true"]) {
      assert.match(problems(`images: {fetch: {timeout: ${text}}}`).join(), /timeout must be a time such as 8s/, text);
    }
    assert.match(
      problems('images: {fetch: {allow: ["*"]}}').join(),
      /allow\[0\] must be a host .* an empty list allows every public host/,
    );
    assert.match(problems("images: {fetch: {enabled: yes}}").join(), /enabled must be true or false, got "yes"/);
  });
});

describe("caching.auto and profiles.automatic", () => {
  it("are off, or what they name", () => {
    for (const off of ["off", "false"]) assert.equal(parse(`caching: {auto: ${off}}`).caching.auto, undefined);
    const all = { system: true, tools: true, conversation: true, ttl: "5m" };
    assert.deepEqual(parse("caching: {auto: {}}").caching.auto, all);
    assert.deepEqual(parse("caching: {auto: {tools: false, ttl: 1h}}").caching.auto, {
      ...all,
      tools: false,
      ttl: "1h",
    });
    for (const name of ["geo", "global", "off"])
      assert.equal(parse(`profiles: {automatic: ${name}}`).profiles.automatic, name);
  });

  it("are nothing else", () => {
    assert.match(problems("caching: {auto: on}").join(), /caching\.auto must be off, or a mapping with system, tools/);
    assert.match(problems("caching: {auto: {ttl: 2h}}").join(), /caching\.auto\.ttl must be 5m or 1h, got "2h"/);
    assert.match(
      problems("profiles: {automatic: eu}").join(),
      /profiles\.automatic must be geo, global or off, got "eu"/,
    );
  });
});

describe("responses", () => {
  it("are stored for a time, or not at all", () => {
    assert.deepEqual(parse("responses: {store: 30d}").responses, { store: 30 * 86_400_000 });
    for (const store of ["0d", "forever", "true", "30"]) {
      assert.match(
        problems(`responses: {store: ${store}}`).join(),
        /responses\.store must be a time such as 90d/,
        store,
      );
    }
  });
});

describe("limits, retention and metrics", () => {
  it("are read with their units", () => {
    const { limits, retention, metrics } = parse(
      "limits: {redis_lost: refuse, unpriced: allow}\nretention: {calls: 90d, totals: 2y}\nmetrics: {key_labels: true}",
    );
    assert.deepEqual(limits, { redisLost: "refuse", unpriced: "allow" });
    assert.deepEqual(retention, { calls: 90 * 86_400_000, totals: 730 * 86_400_000 });
    assert.deepEqual(metrics, { keyLabels: true });
  });

  it("are refused where they make no sense", () => {
    assert.match(problems("limits: {redis_lost: maybe}").join(), /redis_lost must be local or refuse, got "maybe"/);
    for (const calls of ["90", "0d", "1.5d", "-1d", "9m"]) {
      assert.match(
        problems(`retention: {calls: "${calls}"}`).join(),
        /retention\.calls must be a time such as 90d/,
        calls,
      );
    }
  });

  it("keep totals as long as calls, which reports would miss else", () => {
    for (const text of ["{totals: 1y}", "{calls: 2y, totals: 1y}"]) {
      assert.match(
        problems(`retention: ${text}`).join(),
        /retention\.totals must be as long as retention\.calls/,
        text,
      );
    }
    assert.deepEqual(parse("retention: {calls: 1y}").retention.totals, undefined);
  });
});

describe("prices", () => {
  it("are in USD per million tokens, as numbers or as text, and read exactly", () => {
    const { prices } = parse(`
      prices:
        - {match: "*.anthropic.claude-opus-5", from: 2026-12-01, input: 4.5, output: "22.50", cache_read: 0.45,
           cache_write_5m: 5.625, cache_write_1h: 9}
        - {match: my.model, service_tier: flex, input: 0.000001, output: 999999.999999}`);
    assert.deepEqual(prices, [
      {
        match: "*.anthropic.claude-opus-5",
        from: Date.parse("2026-12-01T00:00:00Z"),
        tier: "default",
        rates: {
          input: 4_500_000n,
          output: 22_500_000n,
          cacheRead: 450_000n,
          cacheWrite5m: 5_625_000n,
          cacheWrite1h: 9_000_000n,
        },
      },
      {
        match: "my.model",
        tier: "flex",
        rates: { input: 1n, output: 999_999_999_999n, cacheRead: 1n, cacheWrite5m: 1n, cacheWrite1h: 1n },
      },
    ]);
  });

  it("are refused with their line where they are not exact, not whole or not prices", () => {
    const wrong = problems(`prices:
  - {match: x, input: 0.0000001, output: 1}
  - {match: x, input: 0.10000000000000000001, output: 1}
  - {match: x, input: -1, output: "1 USD"}
  - {match: x, output: 1}
  - {match: x, input: 1, output: 1, from: 2026-02-30}
  - {match: x, input: 1, output: 1, from: tomorrow}
  - {match: x, input: 1, output: 1, cache_write: 1}
  - {match: x, input: 1, output: 1, service_tier: batch}
  - {match: x, input: 1000000, output: 1}
  - {input: 1, output: 1}
`);
    const expected = [
      /^f:2:16: prices\[0\]\.input must be USD per million tokens, with at most six decimals, got 1e-7/,
      /^f:3:16: prices\[1\]\.input must be USD .*, got "0\.10000000000000000001"/,
      /^f:4:16: prices\[2\]\.input must be USD/,
      /^f:4:27: prices\[2\]\.output must be USD/,
      /^f:5:5: prices\[3\]\.input is missing/,
      /^f:6:37: prices\[4\]\.from must be a UTC date such as 2026-12-01, got "2026-02-30"/,
      /^f:7:37: prices\[5\]\.from must be a UTC date/,
      /^f:8:37: prices\[6\]\.cache_write is not a key that is known here, did you mean cache_write_(5m|1h)\?/,
      /^f:9:37: prices\[7\]\.service_tier must be default, priority, flex or optimized, got "batch"/,
      /^f:10:16: prices\[8\]\.input must be USD/,
      /^f:11:5: prices\[9\]\.match is missing/,
    ];
    assert.equal(wrong.length, expected.length, wrong.join("\n"));
    for (const [index, pattern] of expected.entries()) assert.match(wrong[index] ?? "", pattern);
    assert.match(problems("prices: {match: x}").join(), /prices must be a list, got a mapping/);
  });
});

describe("problems", () => {
  it("come all at once, by line, each with its place", () => {
    const file = `models:
  aliases: {a: b, b: c}
profile:
  automatic: geo
images:
  fetch: {enabled: maybe,
          max_byte: 1}
regions: {allowed: [eu-west-1]}
nonsense: 1
`;
    assert.deepEqual(problems(file), [
      "f:2:13: models.aliases.a must name a model, and b is an alias itself.",
      "f:3:1: profile is not a key that is known here, did you mean profiles?",
      'f:6:11: images.fetch.enabled must be true or false, got "maybe".',
      "f:7:11: images.fetch.max_byte is not a key that is known here, did you mean max_bytes?",
      "f:8:11: regions.allowed must hold the gateway's own region, us-east-1.",
      "f:9:1: nonsense is not a key that is known here: there are models, regions, images, s3, caching, profiles, prices, limits, retention, responses, metrics.",
    ]);
  });

  const syntax: readonly (readonly [text: string, problem: RegExp])[] = [
    ["a: 1\na: 2", /^f:2:1: Map keys must be unique/],
    ["models: [", /^f:1:10: /],
    ["models:\n\taliases:", /^f:2:1: .*tab/i],
    ["models: !secret x", /^f:1:9: Unresolved tag/],
    ["models: *nowhere", /Unresolved alias/],
    ["models: {}\n---\nmodels: {}", /multiple documents/],
    ["<<: {models: {}}", /^f:1:1: <</],
    ["- models", /^f:1:1: The file must be a mapping, got a list/],
    ["models", /^f:1:1: The file must be a mapping, got "models"/],
  ];
  for (const [text, problem] of syntax) {
    it(`name the place of what is no right YAML: ${JSON.stringify(text)}`, () => {
      assert.match(problems(text)[0] ?? "", problem);
    });
  }

  it("follow an anchor to what it names", () => {
    assert.deepEqual(problems("images:\n  fetch: &f {enabled: 3}\nmodels: *f"), [
      "f:2:14: models.enabled is not a key that is known here: there are aliases, fallbacks, capabilities.",
      "f:2:14: images.fetch.enabled must be true or false, got 3.",
    ]);
  });
});

function parse(text: string): OperatorConfig {
  return parseOperatorConfig(text, "f", REGION);
}

function problems(text: string): readonly string[] {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return assert.fail(`no problem with ${text}`);
}
