/**
 * What README.md tells people to paste to connect a client: one place reads it for every test that runs it.
 *
 * An entry is a heading in bold and a fenced block. Code in the heading says which file the block is, and what to run in a shell
 * besides:
 *
 *     **Codex CLI** (`~/.codex/config.toml`, and `export GATEWAY_KEY=sk-…`)
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export interface Snippet {
  /** The heading without its code: "Codex CLI". */
  readonly client: string;
  readonly language: string;
  readonly code: string;
  /** What the block is the content of, such as `~/.codex/config.toml`. */
  readonly file: string | undefined;
  /** Lines for the shell from the heading. */
  readonly shell: readonly string[];
}

export const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");

const ADDRESS = "http://127.0.0.1:8000";
const SECRET = "sk-…";
const ENTRY = /^\*\*(?<client>[^*\n]+)\*\*(?<rest>[^\n]*)\n```(?<language>[a-z]+)\n(?<code>.*?)^```$/gms;
const FILE = /^(~\/)?[\w./-]+$/;

/** All of "Connect a client", in its order. */
export function clientSnippets(): Snippet[] {
  const section = /^## Connect a client\n(.*?)^## /ms.exec(README)?.[1];
  assert.ok(section, "README.md has no section for clients");
  return [...section.matchAll(ENTRY)].map(({ groups: { client = "", rest = "", language = "", code = "" } = {} }) => {
    const named = [...rest.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text);
    const file = named.find((text) => FILE.test(text));
    return { client, language, code, file, shell: named.filter((text) => text !== file) };
  });
}

export function clientSnippet(client: string): Snippet {
  return clientSnippets().find((snippet) => snippet.client === client) ?? assert.fail(`README.md has no "${client}"`);
}

/** The text for one gateway. */
export function forGateway(text: string, gateway: { readonly url: string; readonly key: string }): string {
  return text.replaceAll(ADDRESS, gateway.url).replaceAll(SECRET, gateway.key);
}

/** All fenced blocks of a language in README.md, wherever they stand. */
export function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, code = ""]) => code);
}
