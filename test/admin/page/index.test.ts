import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { usagePage } from "../../../src/admin/page/index.ts";

const page = usagePage();
const text = async (path: string) => (await page.request(path)).text();

/** `/page/…` of everything that the HTML names, and of what those scripts import. */
async function loadedPaths(): Promise<string[]> {
  const html = await text("/");
  const paths = new Set([...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = ""]) => path));
  for (const path of paths) {
    if (!path.startsWith("/page/browser/")) continue;
    for (const [, name = ""] of (await text(path)).matchAll(/^(?:import|export)\s[^;"']*?from "([^"]+)"/gm)) {
      paths.add(new URL(name, `http://host${path}`).pathname);
    }
  }
  return [...paths];
}

describe("the page's files", () => {
  it("are served with their types, and all that the page loads is among them", async () => {
    const paths = await loadedPaths();
    assert.ok(paths.length > 30, `only ${paths.length} files were found`);
    const types = { css: "text/css", svg: "image/svg+xml", js: "text/javascript" };
    for (const path of paths) {
      const answer = await page.request(path);
      assert.equal(answer.status, 200, path);
      const [, ending = ""] = /\.(\w+)$/.exec(path) ?? [];
      assert.ok(answer.headers.get("content-type")?.startsWith(Object(types)[ending]), path);
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff", path);
    }
    assert.match((await page.request("/")).headers.get("content-type") ?? "", /^text\/html; charset=utf-8$/);
  });

  it("are all used", async () => {
    const folder = new URL("../../../src/admin/page/browser/", import.meta.url);
    const scripts = readdirSync(folder).filter((name) => name.endsWith(".js"));
    const loaded = await loadedPaths();
    // Holds types alone.
    const unused = scripts.filter((name) => name !== "view.js" && !loaded.includes(`/page/browser/${name}`));
    assert.deepEqual(unused, []);
  });

  it("come from this port alone: nothing is inline, and nothing is loaded from elsewhere", async () => {
    const html = await text("/");
    assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/);
    for (const path of await loadedPaths()) {
      assert.match(path, /^\/page\//);
      if (path !== "/page/chart.js")
        assert.doesNotMatch(await text(path), /https?:\/\/(?!www\.w3\.org\/2000\/svg)/, path);
    }
    const policy = (await page.request("/")).headers.get("content-security-policy") ?? "";
    assert.match(policy, /^default-src 'self';/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.match(policy, /frame-ancestors 'none'/);
  });

  it("are sent again only when they have changed", async () => {
    const first = await page.request("/page/chart.js");
    const etag = first.headers.get("etag") ?? "";
    assert.match(etag, /^"[\w-]{22}"$/);
    assert.equal(first.headers.get("cache-control"), "no-cache");
    const second = await page.request("/page/chart.js", { headers: { "if-none-match": etag } });
    assert.equal(second.status, 304);
    assert.equal(await second.text(), "");
    const other = await page.request("/page/chart.js", { headers: { "if-none-match": '"another"' } });
    assert.equal(other.status, 200);
  });

  it("are no way to other files", async () => {
    for (const path of [
      "/page/index.ts",
      "/page/browser/../index.ts",
      "/page/browser/tsconfig.json",
      "/page/",
      "/page/page.html",
    ])
      assert.equal((await page.request(path)).status, 404, path);
  });
});
