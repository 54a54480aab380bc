/** URLs of clients that mean harm, through the whole fetcher with its own policy; only DNS is stood in for. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createImageFetcher } from "../../src/media/fetch-image.ts";
import { refused, UNREACHABLE } from "./image-server.ts";

/** What an attacker's name server, or a split-horizon one, may say. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  "loopback.attacker.example": ["127.0.0.1"],
  "metadata.attacker.example": ["169.254.169.254"],
  "metadata6.attacker.example": ["fd00:ec2::254"],
  "mapped.attacker.example": ["::ffff:169.254.169.254"],
  "zone.attacker.example": ["fe80::1%eth0"],
  "mixed.attacker.example": ["93.184.216.34", "10.0.0.1"],
  "mixed6.attacker.example": ["2606:4700::1111", "::1"],
  "odd.attacker.example": ["0x7f.1"],
  "text.attacker.example": ["localhost"],
  "empty.attacker.example": [],
  "127.0.0.1.nip.example": ["127.0.0.1"],
  "service.namespace.svc.cluster.test": ["10.96.0.1"],
};

/** Refused for the address or the name, with the words for a server that does not answer. */
const PRIVATE_PLACES = [
  ...[
    "http://127.0.0.1/",
    "http://127.0.0.1:80/",
    "https://127.0.0.1/",
    "http://127.0.0.53/",
    "http://127.1/",
    "http://127.0.1/",
  ],
  ...[
    "http://127.0.0.1./",
    "http://127.1./",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://017700000001/",
  ],
  ...[
    "http://0177.0.0.1/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1\\@example.com/",
  ],
  ...[
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%2e/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://１２７.0.0.1/",
  ],
  ...[
    "HTTP://127.0.0.1/",
    " http://127.0.0.1/ ",
    "ht\ntp://127.0.0.1/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http:\\\\127.0.0.1/",
  ],
  ...[
    "http://0/",
    "http://0.0.0.0/",
    "http://0.0.0.0:443/",
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
  ],
  ...[
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://[fd00:ec2::254]/latest/",
  ],
  ...["http://169.254.170.2/v2/credentials", "http://100.100.100.200/", "http://168.63.129.16/", "http://192.0.0.192/"],
  ...[
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
  ],
  ...[
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::808:808]/",
    "http://[2002:7f00:1::]/",
  ],
  ...["http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "http://[fe80::1]/", "http://[fc00::1]/", "http://[ff02::1]/"],
  ...["http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://100.64.0.1/", "http://198.18.0.1/"],
  ...["http://224.0.0.1/", "http://255.255.255.255/", "http://240.0.0.1/", "http://192.0.2.1/"],
  ...[
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://localhost../",
    "http://a.localhost/",
    "http://ⓛocalhost/",
  ],
  ...[
    "http://metadata/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://printer.local/",
    "http://nas.home.arpa/",
  ],
  ...["http://kubernetes/", "http://instance-data/latest/"],
  ...Object.keys(NAMES).map((name) => `http://${name}/`),
];

/** Refused for what the URL itself says. */
const WRONG_URLS: readonly (readonly [url: string, problem: RegExp])[] = [
  ["ftp://example.com/a.png", /must be an http or https URL/],
  ["file:///etc/passwd", /must be an http or https URL/],
  ["gopher://127.0.0.1:6379/_INFO", /must be an http or https URL/],
  ["s3://bucket/a.png", /must be an http or https URL/],
  ["data:image/png;base64,AAAA", /must be an http or https URL/],
  ["javascript:alert(1)", /must be an http or https URL/],
  ["unix:/run/gateway/extproc.sock", /must be an http or https URL/],
  ["http+unix://%2Frun%2Fsock/", /must be an http or https URL/],
  ["http://user@example.com/", /must not hold a user name or a password/],
  ["http://user:pass@127.0.0.1/", /must not hold a user name or a password/],
  ["http://:pass@example.com/", /must not hold a user name or a password/],
  ["http://example.com@127.0.0.1/", /must not hold a user name or a password/],
  ["http://example.com:22/", /must use port 80 or 443/],
  ["http://127.0.0.1:8001/metrics", /must use port 80 or 443/],
  ["http://example.com:0/", /must use port 80 or 443/],
  ["https://[::1]:6379/", /must use port 80 or 443/],
  ["http://./", /must name a host/],
  ["http://", /must be a URL/],
  ["", /must be a URL/],
  ["//example.com/a.png", /must be a URL/],
  ["/etc/passwd", /must be a URL/],
  ["http://example.com:70000/", /must be a URL/],
  ["http://[::1/", /must be a URL/],
  ["http://1.2.3.4.5.6.7.8.256/", /must be a URL/],
  ["http://exa mple.com/", /must be a URL/],
  ["http://[fe80::1%25eth0]/", /must be a URL/],
  [`http://example.com/${"a".repeat(9_000)}`, /must be a URL of at most 8192 characters/],
];

const asked: string[] = [];
const fetchImage = createImageFetcher({
  enabled: true,
  allow: [],
  maxBytes: 1_000,
  timeoutMs: 5_000,
  lookup: async (host) => {
    asked.push(host);
    return NAMES[host] ?? assert.fail(`${host} was looked up`);
  },
});

describe("a URL of a place that is not public", () => {
  for (const url of PRIVATE_PLACES) {
    it(`is refused by the guard, not by the network: ${JSON.stringify(url)}`, async () => {
      await refused(
        fetchImage(url, "messages[0].content[1].image_url.url"),
        UNREACHABLE,
        /which is not a public one|is a name of a private network|has no address/,
      );
    });
  }

  it("is looked up only where it is a name", () => {
    assert.deepEqual(asked.sort(), Object.keys(NAMES).sort());
  });
});

describe("a URL that the gateway does not fetch", () => {
  for (const [url, problem] of WRONG_URLS) {
    it(`is refused for what it says: ${JSON.stringify(url.slice(0, 60))}`, async () => {
      await refused(fetchImage(url, "messages[0].content[1].image_url.url"), problem);
    });
  }
});
