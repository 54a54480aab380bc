import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type BedrockPlane, parseEndpoint, REGION, regionalEndpoint } from "../../src/bedrock/endpoints.ts";

const PLAIN = { fips: false, dualStack: false };

describe("regionalEndpoint", () => {
  // The SDKs' endpoint rules and partitions.
  const hosts: readonly (readonly [
    plane: BedrockPlane,
    region: string,
    fips: boolean,
    dualStack: boolean,
    host: string,
  ])[] = [
    ["bedrock-runtime", "us-east-1", false, false, "bedrock-runtime.us-east-1.amazonaws.com"],
    ["bedrock", "us-east-1", false, false, "bedrock.us-east-1.amazonaws.com"],
    ["bedrock-runtime", "us-east-1", true, false, "bedrock-runtime-fips.us-east-1.amazonaws.com"],
    ["bedrock", "us-gov-west-1", true, false, "bedrock-fips.us-gov-west-1.amazonaws.com"],
    ["bedrock-runtime", "eu-central-1", false, true, "bedrock-runtime.eu-central-1.api.aws"],
    ["bedrock-runtime", "us-west-2", true, true, "bedrock-runtime-fips.us-west-2.api.aws"],
    ["bedrock-runtime", "cn-north-1", false, false, "bedrock-runtime.cn-north-1.amazonaws.com.cn"],
    ["bedrock-runtime", "cn-north-1", false, true, "bedrock-runtime.cn-north-1.api.amazonwebservices.com.cn"],
    ["bedrock-runtime", "eusc-de-east-1", false, false, "bedrock-runtime.eusc-de-east-1.amazonaws.eu"],
    ["bedrock-runtime", "eusc-de-east-1", false, true, "bedrock-runtime.eusc-de-east-1.api.amazonwebservices.eu"],
    ["bedrock-runtime", "us-iso-east-1", false, false, "bedrock-runtime.us-iso-east-1.c2s.ic.gov"],
    ["bedrock-runtime", "us-isob-east-1", false, false, "bedrock-runtime.us-isob-east-1.sc2s.sgov.gov"],
    ["bedrock-runtime", "eu-isoe-west-1", false, false, "bedrock-runtime.eu-isoe-west-1.cloud.adc-e.uk"],
    ["bedrock-runtime", "us-isof-south-1", false, false, "bedrock-runtime.us-isof-south-1.csp.hci.ic.gov"],
    ["bedrock-runtime", "me-west-1", false, false, "bedrock-runtime.me-west-1.amazonaws.com"],
  ];
  for (const [plane, region, fips, dualStack, authority] of hosts) {
    it(`is ${authority}`, () => {
      assert.deepEqual(regionalEndpoint(plane, region, { fips, dualStack }), { authority, tls: true, basePath: "" });
    });
  }

  it("keeps us-iso and us-isob, us-isof apart", () => {
    const suffix = (region: string) =>
      regionalEndpoint("bedrock", region, PLAIN).authority.slice(`bedrock.${region}.`.length);
    assert.equal(new Set(["us-iso-west-1", "us-isob-west-1", "us-isof-east-1"].map(suffix)).size, 3);
  });
});

describe("REGION", () => {
  it("takes AWS's regions, also new ones", () => {
    for (const region of [
      "us-east-1",
      "ap-southeast-10",
      "me-west-1",
      "il-central-1",
      "mx-central-1",
      "us-gov-east-1",
      "eusc-de-east-1",
      "us-isob-east-1",
    ])
      assert.match(region, REGION);
  });

  it("takes nothing that would change a host name", () => {
    for (const text of [
      "",
      "us-east-1.evil.com",
      "us-east-1/",
      "us-east-1:80",
      "US-EAST-1",
      "us_east_1",
      "us-east",
      "-1",
      "us-east-1\n",
      "evil.com#-1",
      "us east-1",
    ])
      assert.doesNotMatch(text, REGION, JSON.stringify(text));
  });
});

describe("parseEndpoint", () => {
  for (const [text, authority, tls, basePath] of [
    [
      "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
      "vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
      true,
      "",
    ],
    ["https://host/", "host", true, ""],
    ["https://host:443", "host", true, ""],
    ["http://host:80/", "host", false, ""],
    ["https://host:8443/base/path/", "host:8443", true, "/base/path"],
    ["http://127.0.0.1:9000", "127.0.0.1:9000", false, ""],
    ["http://[::1]:9000/x//", "[::1]:9000", false, "/x"],
    ["HTTPS://HOST.Example", "host.example", true, ""],
  ] as const) {
    it(`reads ${text}`, () => assert.deepEqual(parseEndpoint(text), { authority, tls, basePath }));
  }

  for (const text of ["", "host:8080", "host", "ftp://host", "unix:/run/x.sock", "https://", "http://exa mple"]) {
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseEndpoint(text), /must be an http or https URL/));
  }

  for (const text of ["https://user:secret@host", "https://user@host", "https://host?a=1", "https://host/#x"]) {
    it(`refuses more than host, port and path: ${text}, without repeating it`, () => {
      assert.throws(
        () => parseEndpoint(text),
        (error) =>
          error instanceof Error &&
          /host, a port and a path only/.test(error.message) &&
          !error.message.includes("secret"),
      );
    });
  }
});
