/** A store in a temporary folder that is gone after the test, and other processes that use the same file. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/store.ts";

export interface TempStore {
  readonly store: Store;
  readonly url: string;
  readonly path: string;
}

export function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "gateway-store-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export async function openTempStore(t: TestContext): Promise<TempStore> {
  const path = join(tempDir(t), "gateway.db");
  const url = `sqlite:${path}`;
  const store = await openStore(url);
  t.after(() => store.close());
  return { store, url, path };
}

/**
 * Runs TypeScript in a process of its own. `openStore`, `createKeys`, `createLedger` and `print` are there for it, and
 * `url` as it was given.
 */
export function spawnWithStore(t: TestContext, url: string, code: string): ChildProcess & { output(): string } {
  const source = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
  const script = `
    import { randomBytes } from "node:crypto";
    import { openStore } from ${source("store/open.ts")};
    import { createKeys } from ${source("access/keys.ts")};
    import { createLedger } from ${source("usage/ledger.ts")};
    const url = ${JSON.stringify(url)};
    const print = (text) => process.stdout.write(text + "\\n");
    ${code}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return Object.assign(child, { output: () => output });
}

export async function exitCode(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

/** Waits for a line of the child's output. */
export async function printed(child: ChildProcess & { output(): string }, text: string): Promise<void> {
  while (!child.output().includes(text)) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the process ended before it printed ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
