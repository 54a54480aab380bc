import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { ConfigError, type Environment, readConfig } from "../src/config.ts";

const REGION = { AWS_REGION: "us-east-1" };

/** No profile of this machine: the files named here do not exist. */
const NO_PROFILE = { AWS_CONFIG_FILE: "/nonexistent/config" };

describe("readConfig", () => {
  it("needs a region and nothing else", async () => {
    assert.deepEqual(await readConfig(REGION), {
      clients: { host: "0.0.0.0", port: 8000 },
      tls: undefined,
      admin: { host: "127.0.0.1", port: 8001, tokenSha256: undefined, hosts: [] },
      databaseUrl: "sqlite:data/gateway.db",
      redisUrl: undefined,
      extProcListen: "unix:/run/gateway/extproc.sock",
      egress: undefined,
      aws: {
        region: "us-east-1",
        runtime: { authority: "bedrock-runtime.us-east-1.amazonaws.com", tls: true, basePath: "" },
        runtimeServesAll: false,
        control: { authority: "bedrock.us-east-1.amazonaws.com", tls: true, basePath: "" },
        endpoints: { fips: false, dualStack: false },
        bearerToken: undefined,
      },
      drainTimeoutMs: 600_000,
      envoyConcurrency: undefined,
      caFile: undefined,
      logLevel: "info",
    });
  });

  it("takes an empty variable, or one of spaces, for an absent one", async () => {
    const names = [
      "PORT",
      "HOST",
      "LOG_LEVEL",
      "TLS_CERT",
      "EGRESS_URL",
      "AWS_ENDPOINT_URL",
      "AWS_BEARER_TOKEN_BEDROCK",
    ];
    for (const empty of ["", "  "]) {
      const environment = { ...REGION, ...Object.fromEntries(names.map((name) => [name, empty])) };
      assert.deepEqual(await readConfig(environment), await readConfig(REGION));
    }
  });

  it("is frozen to the bottom", async () => {
    const config = await readConfig(REGION);
    assert.ok(Object.isFrozen(config) && Object.isFrozen(config.aws) && Object.isFrozen(config.aws.runtime));
  });

  it("reads every variable", async (t) => {
    const ca = file(t, "ca.pem");
    const config = await readConfig({
      AWS_REGION: "eu-central-1",
      HOST: "::1",
      PORT: "0",
      ADMIN_HOST: "0.0.0.0",
      ADMIN_PORT: "9001",
      ADMIN_TOKEN: "correct horse battery",
      ADMIN_HOSTS: "Gateway.example.com, usage",
      REDIS_URL: "rediss://:secret@valkey:6380/1",
      DATABASE_URL: "sqlite:/srv/g.db",
      EXTPROC_LISTEN: "127.0.0.1:9002",
      EGRESS_URL: "http://127.0.0.1:9003",
      AWS_BEARER_TOKEN_BEDROCK: "ABSKx",
      DRAIN_TIMEOUT: "1.5m",
      ENVOY_CONCURRENCY: "2",
      AWS_CA_BUNDLE: ca,
      LOG_LEVEL: "WARN",
    });
    assert.deepEqual(config.clients, { host: "::1", port: 0 });
    assert.deepEqual(config.admin, {
      host: "0.0.0.0",
      port: 9001,
      tokenSha256: "9028ea0d15decaa35b2da21c0290af3b1a5ba0a30a591906f89b5074e209ea72",
      hosts: ["gateway.example.com", "usage"],
    });
    assert.equal(config.redisUrl, "rediss://:secret@valkey:6380/1");
    assert.equal(config.databaseUrl, "sqlite:/srv/g.db");
    assert.equal(config.extProcListen, "127.0.0.1:9002");
    assert.deepEqual(config.egress, { host: "127.0.0.1", port: 9003 });
    assert.equal(config.aws.bearerToken, "ABSKx");
    assert.equal(config.drainTimeoutMs, 90_000);
    assert.equal(config.envoyConcurrency, 2);
    assert.equal(config.caFile, ca);
    assert.equal(config.logLevel, "warn");
  });

  it("takes an admin token by its SHA-256, and repeats nothing of one that is wrong", async () => {
    const sha256 = "AB".repeat(32);
    const { admin } = await readConfig({ ...REGION, ADMIN_TOKEN: `sha256:${sha256}` });
    assert.equal(admin.tokenSha256, sha256.toLowerCase());
    for (const token of ["too-short", "sha256:abcdef-too-short"]) {
      const problems = await problemsOf({ ...REGION, ADMIN_TOKEN: token });
      assert.equal(problems.length, 1);
      assert.match(problems[0] ?? "", /^ADMIN_TOKEN must have (at least 16 characters|64 hex digits after sha256:)\.$/);
    }
  });

  it("takes no other server than Redis for limits, and never repeats its password", async () => {
    for (const url of ["valkey:6379", "http://u:secret@h", "secret"]) {
      const problems = await problemsOf({ ...REGION, REDIS_URL: url });
      assert.match(problems.join(), /^REDIS_URL must be redis:\/\/host:port/);
      assert.doesNotMatch(problems.join(), /secret/);
    }
  });

  it("lists every problem at once, each once and by its variable's name", async () => {
    const problems = await problemsOf({
      ...NO_PROFILE,
      PORT: "80000",
      ADMIN_PORT: "eighty",
      EXTPROC_LISTEN: "unix:relative.sock",
      EGRESS_URL: "https://127.0.0.1",
      AWS_ENDPOINT_URL: "nonsense",
      DRAIN_TIMEOUT: "soon",
      ENVOY_CONCURRENCY: "0",
      AWS_CA_BUNDLE: "/nonexistent/ca.pem",
      TLS_CERT: "/nonexistent/cert.pem",
      LOG_LEVEL: "loud",
      DATABASE_URL: "mysql://u:secret@db/x",
    });
    assert.doesNotMatch(problems.join(), /secret/);
    const names = problems.map((problem) => problem.split(" ", 1)[0]);
    assert.deepEqual(names.sort(), [
      "ADMIN_PORT",
      "AWS_CA_BUNDLE",
      "AWS_ENDPOINT_URL",
      "AWS_REGION",
      "DATABASE_URL",
      "DRAIN_TIMEOUT",
      "EGRESS_URL",
      "ENVOY_CONCURRENCY",
      "EXTPROC_LISTEN",
      "LOG_LEVEL",
      "PORT",
      "TLS_CERT",
      "TLS_CERT",
    ]);
  });

  it("has all problems in the error's message", async () => {
    await assert.rejects(readConfig({ ...REGION, PORT: "x", LOG_LEVEL: "y" }), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /has 2 problems:\n {2}PORT must be .*"x"\.\n {2}LOG_LEVEL must be one of .*"y"\.$/);
      return true;
    });
    await assert.rejects(readConfig({ ...REGION, PORT: "x" }), /has a problem:\n {2}PORT/);
  });

  for (const port of ["-1", "65536", "80.5", "1e3", "0x50", "８０"]) {
    it(`refuses port ${port}`, async () =>
      assert.match((await problemsOf({ ...REGION, PORT: port })).join(), /PORT must be a whole number/));
  }

  for (const [text, milliseconds] of [
    ["0", 0],
    ["30", 30_000],
    ["30s", 30_000],
    ["10m", 600_000],
    ["0.5s", 500],
  ] as const) {
    it(`reads a DRAIN_TIMEOUT of ${text}`, async () =>
      assert.equal((await readConfig({ ...REGION, DRAIN_TIMEOUT: text })).drainTimeoutMs, milliseconds));
  }
});

describe("the region", () => {
  it("is AWS_REGION before AWS_DEFAULT_REGION before the profile's", async (t) => {
    const config = file(t, "config", "[default]\nregion = eu-west-3\n");
    const all = { AWS_REGION: "us-east-1", AWS_DEFAULT_REGION: "us-west-2", AWS_CONFIG_FILE: config };
    assert.equal((await readConfig(all)).aws.region, "us-east-1");
    assert.equal((await readConfig({ ...all, AWS_REGION: undefined })).aws.region, "us-west-2");
    assert.equal((await readConfig({ AWS_CONFIG_FILE: config })).aws.region, "eu-west-3");
  });

  it("is that of the profile that AWS_PROFILE names", async (t) => {
    const config = file(t, "config", "[default]\nregion = eu-west-3\n[profile work]\nregion = ap-south-1\n");
    const { aws } = await readConfig({ AWS_CONFIG_FILE: config, AWS_PROFILE: "work" });
    assert.equal(aws.region, "ap-south-1");
    assert.equal(aws.runtime.authority, "bedrock-runtime.ap-south-1.amazonaws.com");
  });

  it("is asked for when the profile has none, does not exist, or its file can't be read", async (t) => {
    const config = file(t, "config", "[default]\noutput = json\n");
    for (const environment of [
      { AWS_CONFIG_FILE: config },
      { AWS_CONFIG_FILE: config, AWS_PROFILE: "none" },
      NO_PROFILE,
    ]) {
      assert.match((await problemsOf(environment)).join(), /AWS_REGION is not set, and the AWS profile has no region/);
    }
  });

  it("can't be something that would change a host's name", async () => {
    for (const region of ["us-east-1.evil.com", "us-east-1:80", "US-EAST-1"])
      assert.match((await problemsOf({ AWS_REGION: region })).join(), /AWS_REGION must be the name of an AWS region/);
  });
});

describe("Bedrock's endpoints", () => {
  const endpoints = async (environment: Environment) => {
    const { runtime, control } = (await readConfig({ ...REGION, ...environment })).aws;
    return [runtime, control].map(
      ({ authority, tls, basePath }) => `${tls ? "https" : "http"}://${authority}${basePath}`,
    );
  };
  const regional = ["https://bedrock-runtime.us-east-1.amazonaws.com", "https://bedrock.us-east-1.amazonaws.com"];

  it("are each plane's own variable, with port and path", async () => {
    assert.deepEqual(
      await endpoints({
        AWS_ENDPOINT_URL_BEDROCK_RUNTIME: "http://127.0.0.1:9000/runtime/",
        AWS_ENDPOINT_URL_BEDROCK: "https://vpce-1.bedrock.us-east-1.vpce.amazonaws.com",
      }),
      ["http://127.0.0.1:9000/runtime", "https://vpce-1.bedrock.us-east-1.vpce.amazonaws.com"],
    );
  });

  it("fall back to AWS_ENDPOINT_URL, then to the region's", async () => {
    assert.deepEqual(await endpoints({ AWS_ENDPOINT_URL: "http://all:1", AWS_ENDPOINT_URL_BEDROCK: "http://own:2" }), [
      "http://all:1",
      "http://own:2",
    ]);
    assert.deepEqual(await endpoints({ AWS_ENDPOINT_URL_BEDROCK: "http://own:2" }), [regional[0], "http://own:2"]);
  });

  it("are the region's where AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true", async () => {
    const configured = { AWS_ENDPOINT_URL: "http://all:1", AWS_ENDPOINT_URL_BEDROCK_RUNTIME: "nonsense" };
    assert.deepEqual(await endpoints({ ...configured, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "TRUE" }), regional);
    assert.equal(
      (await problemsOf({ ...REGION, ...configured, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "false" })).length,
      1,
    );
  });

  it("follow the switches for FIPS and dual stack", async () => {
    assert.deepEqual(await endpoints({ AWS_USE_FIPS_ENDPOINT: "true", AWS_USE_DUALSTACK_ENDPOINT: "true" }), [
      "https://bedrock-runtime-fips.us-east-1.api.aws",
      "https://bedrock-fips.us-east-1.api.aws",
    ]);
  });

  it("are refused with their variable's name when they are no URL or hold a password", async () => {
    for (const url of ["localhost:9000", "ftp://x", "https://user:secret@host", "https://host/?x=1"]) {
      const problems = await problemsOf({ ...REGION, AWS_ENDPOINT_URL_BEDROCK_RUNTIME: url });
      assert.equal(problems.length, 1);
      assert.match(problems[0] ?? "", /^AWS_ENDPOINT_URL_BEDROCK_RUNTIME must/);
      assert.doesNotMatch(problems[0] ?? "", /secret/);
    }
  });
});

describe("TLS", () => {
  it("takes a certificate and its key", async (t) => {
    const tls = { cert: file(t, "cert.pem"), key: file(t, "key.pem") };
    assert.deepEqual((await readConfig({ ...REGION, TLS_CERT: tls.cert, TLS_KEY: tls.key })).tls, tls);
  });

  it("needs both", async (t) => {
    const path = file(t, "x.pem");
    assert.deepEqual(await problemsOf({ ...REGION, TLS_CERT: path }), [
      "TLS_CERT is set and TLS_KEY is not; TLS needs both.",
    ]);
    assert.deepEqual(await problemsOf({ ...REGION, TLS_KEY: path }), [
      "TLS_KEY is set and TLS_CERT is not; TLS needs both.",
    ]);
  });

  it("needs files that can be read", async (t) => {
    const problems = await problemsOf({ ...REGION, TLS_CERT: "/nonexistent.pem", TLS_KEY: file(t, "key.pem") });
    assert.match(problems.join(), /^TLS_CERT must name a readable file: .*nonexistent\.pem/);
  });
});

describe("where the service and Envoy meet", () => {
  it("is a socket or host and port", async () => {
    for (const listen of ["unix:/run/x.sock", "127.0.0.1:9002", "[::1]:9002", "service:9002"])
      assert.equal((await readConfig({ ...REGION, EXTPROC_LISTEN: listen })).extProcListen, listen);
    for (const listen of ["unix:", "unix:x.sock", "9002", "http://x:1", "/run/x.sock", "x:"])
      assert.match((await problemsOf({ ...REGION, EXTPROC_LISTEN: listen })).join(), /EXTPROC_LISTEN must be/);
  });

  it("is, for the egress listener, a socket or plain HTTP", async () => {
    const egress = async (url: string) => (await readConfig({ ...REGION, EGRESS_URL: url })).egress;
    assert.deepEqual(await egress("unix:/run/egress.sock"), { socketPath: "/run/egress.sock" });
    assert.deepEqual(await egress("http://envoy"), { host: "envoy", port: 80 });
    assert.deepEqual(await egress("http://[::1]:9003/"), { host: "::1", port: 9003 });
    for (const url of ["https://envoy", "envoy:9003", "http://envoy/path", "unix:rel"])
      assert.match((await problemsOf({ ...REGION, EGRESS_URL: url })).join(), /EGRESS_URL must be/);
  });
});

async function problemsOf(environment: Environment): Promise<readonly string[]> {
  try {
    await readConfig(environment);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return assert.fail("the configuration was accepted");
}

function file(t: TestContext, name: string, text = ""): string {
  const folder = mkdtempSync(join(tmpdir(), "gateway-config-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}
