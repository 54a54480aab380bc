/**
 * The usage page, served at `/`: its files as they are, read once at the start. There is no build step, and nothing is
 * loaded from elsewhere: the charts' library comes from node_modules through this port.
 *
 * The page holds no data and needs no session; what it shows comes from the API beside it, which does.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Hono } from "hono";

interface PageFile {
  readonly body: string;
  readonly type: string;
  readonly etag: string;
}

/** Scripts and styles from this origin's files alone: text that got into the page as markup could run nothing. */
const SECURITY_HEADERS = {
  "content-security-policy":
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};

const HTML = "text/html; charset=utf-8";
const CSS = "text/css; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";
const SVG = "image/svg+xml";

/** Routes for `/` and for what the page loads, below `/page/`. */
export function usagePage(): Hono {
  const app = new Hono();
  for (const [path, { body, type, etag }] of readFiles()) {
    app.get(path, (context) => {
      const headers = { ...SECURITY_HEADERS, "cache-control": "no-cache", etag };
      if (context.req.header("if-none-match") === etag) return context.body(null, 304, headers);
      return context.body(body, 200, { ...headers, "content-type": type });
    });
  }
  return app;
}

function readFiles(): Map<string, PageFile> {
  return new Map([
    ["/", pageFile(new URL("page.html", import.meta.url), HTML)],
    ["/page/icon.svg", pageFile(new URL("icon.svg", import.meta.url), SVG)],
    ["/page/chart.js", pageFile(new URL("chart.umd.min.js", import.meta.resolve("chart.js")), SCRIPT)],
    ...folder("styles", ".css", CSS),
    ...folder("browser", ".js", SCRIPT),
  ]);
}

function folder(name: string, ending: string, type: string): [path: string, file: PageFile][] {
  const url = new URL(`${name}/`, import.meta.url);
  const files = readdirSync(url).filter((file) => file.endsWith(ending));
  return files.map((file) => [`/page/${name}/${file}`, pageFile(new URL(file, url), type)]);
}

function pageFile(url: URL, type: string): PageFile {
  // The map of the library's sources is not served, and a browser's tools would ask for it.
  const body = readFileSync(fileURLToPath(url), "utf8").replace(/^\/\/# sourceMappingURL=.*$/m, "");
  return { body, type, etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"` };
}
