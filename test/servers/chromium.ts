/**
 * A real Chromium for tests, without a window: the one that is installed (CHROMIUM_PATH, or where Debian puts it), driven
 * by playwright-core, which brings no browser of its own.
 */
import { accessSync, constants } from "node:fs";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium } from "playwright-core";

const PLACES = [process.env.CHROMIUM_PATH, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

const ARGS = [
  // Tests may run as root in a container, where the sandbox can't; they show the browser nothing but their own pages.
  "--no-sandbox",
  "--disable-dev-shm-usage",
  // As on a machine without the internet.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/** Why there is no browser to test with; undefined when there is one. REQUIRE_SERVERS=1 makes it an error. */
export function chromiumMissing(): string | undefined {
  if (program() !== undefined) return undefined;
  const reason = "Chromium is not installed (set CHROMIUM_PATH to its program)";
  if (process.env.REQUIRE_SERVERS === "1") throw new Error(reason);
  return reason;
}

/** It reaches 127.0.0.1 alone. Close it when the test file ends. */
export async function startChromium(): Promise<Browser> {
  const executablePath = program();
  if (executablePath === undefined) throw new Error(chromiumMissing());
  return chromium.launch({ executablePath, args: ARGS });
}

/** Cookies and storage of its own. */
export function newVisitor(browser: Browser, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  return browser.newContext({ locale: "en-US", timezoneId: "UTC", ...options });
}

function program(): string | undefined {
  return PLACES.find((path) => path !== undefined && isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
