/**
 * The shape of the code, checked: which part may know which, and who alone may use what.
 *
 * Imports are read from the text of the sources, without their comments.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const GENERATED = "extproc/generated/";

/** An import may only go down. A part is a folder of src/, or a file that stands there alone. */
const LAYERS: readonly (readonly string[])[] = [
  ["main"],
  ["cli"],
  ["commands"],
  ["standalone"],
  ["gateway"],
  ["extproc", "admin", "envoy"],
  ["operator-config"],
  ["dialects", "access", "usage", "models", "media", "log"],
  ["telemetry"],
  ["config"],
  ["bedrock", "store"],
  ["errors", "glob", "json", "money", "time", "transform"],
];

/** A package, and the files that alone may import it. */
const KEPT_IN: readonly (readonly [what: RegExp, where: RegExp])[] = [
  [/^@grpc\//, /^extproc\//],
  [/^kysely$/, /^store\//],
  [/^pg$/, /^store\/postgres/],
  [/^node:sqlite$/, /^store\//],
  [/^(@aws-sdk\/signature-v4|@smithy\/signature-v4|@aws-crypto\/)/, /^bedrock\/sign\.ts$/],
  [/^@smithy\/eventstream-codec$/, /^bedrock\/event-stream\.ts$/],
  [/^@aws-sdk\/credential-providers$/, /^bedrock\/credentials\.ts$/],
  [/^(hono|@hono\/|hono-openapi)/, /^admin\//],
  [/^pino$/, /^log\.ts$/],
  [/^prom-client$/, /^telemetry\/(call-)?metrics\.ts$/],
  [/^@opentelemetry\//, /^telemetry\/spans\.ts$/],
  [/^commander$/, /^commands\//],
  [/^csv-parse(\/|$)/, /^access\/key-import\.ts$/],
  [/^valibot$/, /^(operator-config[./]|admin\/)/],
  [/^ipaddr\.js$/, /^media\/address-guard\.ts$/],
  [/^node:child_process$/, /^envoy\//],
  [/^ioredis$/, /^access\/counters\//],
  [/^rate-limiter-flexible$/, /^(access\/|admin\/attempts\.ts$)/],
];

/** The simulator and its own command stand apart: they are not the gateway. */
const isSimulator = (file: string) => file.startsWith("simulator/");

interface Source {
  /** Path below src/. */
  readonly file: string;
  /** Without comments. */
  readonly code: string;
  /** Packages as written, own files as paths below src/. */
  readonly imports: readonly string[];
}

const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((file) => /\.(ts|js)$/.test(file))
  .map(readSource);
const written = sources.filter(({ file }) => !file.startsWith(GENERATED));

describe("imports", () => {
  it("go down the layers, and never sideways to another part", () => {
    const depth = new Map(LAYERS.flatMap((parts, index) => parts.map((part) => [part, index] as const)));
    const rank = (part: string) => depth.get(part) ?? assert.fail(`src/${part} has no place in LAYERS`);
    const wrong = ownImports((file) => !isSimulator(file))
      .filter(({ to }) => !isSimulator(to))
      .map(({ from, to }) => ({ from, to, here: partOf(from), there: partOf(to) }))
      .filter(({ here, there }) => here !== there && rank(here) >= rank(there));
    assert.deepEqual(wrong.map(arrow), []);
  });

  it("never lead from one dialect to another, nor from a dialect to the registry", () => {
    const folder = (file: string) => /^dialects\/([^/]+)\//.exec(file)?.[1];
    const wrong = ownImports((file) => folder(file) !== undefined).filter(
      ({ from, to }) => to === "dialects/index.ts" || (folder(to) !== undefined && folder(to) !== folder(from)),
    );
    assert.deepEqual(wrong.map(arrow), []);
  });

  it("bring only the demo to the simulator, and the simulator to nothing that it checks", () => {
    const users = ownImports((file) => !isSimulator(file)).filter(({ to }) => isSimulator(to));
    assert.deepEqual([...new Set(users.map(({ from }) => from))], ["commands/demo.ts"]);
    const used = ownImports(isSimulator).filter(({ to }) => !isSimulator(to));
    assert.deepEqual([...new Set(used.map(({ to }) => to))], ["json.ts"]);
  });

  it("take each library through the one place that knows it", () => {
    const packages = written.flatMap(({ file, imports }) => imports.map((to) => ({ from: file, to })));
    for (const [what, where] of KEPT_IN) {
      const wrong = packages.filter(({ from, to }) => what.test(to) && !where.test(from) && !isSimulator(from));
      assert.deepEqual(wrong.map(arrow), [], String(what));
      assert.ok(
        packages.some(({ from, to }) => what.test(to) && where.test(from)),
        `nothing imports ${what}: the rule is out of date`,
      );
    }
  });

  it("name files with their ending, and packages that package.json has", () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const known = new Set(Object.keys(dependencies));
    const own = new Set(sources.map(({ file }) => file));
    for (const { file, imports } of sources) {
      for (const to of imports) {
        const name = /^(@[^/]+\/[^/]+|[^/]+)/.exec(to)?.[0] ?? "";
        assert.ok(own.has(to) || to.startsWith("node:") || known.has(name), `${file} imports ${to}`);
      }
    }
  });
});

describe("the code", () => {
  const rules: readonly (readonly [what: string, pattern: RegExp, allowed: RegExp])[] = [
    ["has no default exports", /\bexport\s+default\b/, /^$/],
    ["has no any", /[:<,|&(]\s*any\b(?!\s*:)|\bas any\b/, /^$/],
    ["has no enums and no namespaces", /^\s*(export )?(const )?(enum|namespace) /m, /^$/],
    [
      "reads the environment and argv, and ends the process, in cli.ts alone",
      /\bprocess\.(env|argv|exit|exitCode)\b/,
      /^(cli\.ts|main\.js|simulator\/serve\.ts)$/,
    ],
    ["writes no console", /\bconsole\.(log|info|warn|error|debug|trace|table)\b/, /^$/],
    [
      "holds SQL in store/ alone",
      /\b(SELECT .* FROM|INSERT INTO|DELETE FROM|CREATE TABLE|UPDATE \w+ SET)\b/s,
      /^store\//,
    ],
    ["writes data: lines in sse.ts alone", /[`"]data: /, /^dialects\/sse\.ts$/],
  ];
  for (const [what, pattern, allowed] of rules) {
    it(what, () => {
      const wrong = written.filter(({ file, code }) => !allowed.test(file) && pattern.test(code));
      assert.deepEqual(
        wrong.map(({ file }) => file),
        [],
      );
    });
  }

  it("knows the protobuf's field names in wire.ts alone", () => {
    const protos = readdirSync(join(ROOT, "protos")).map((file) => readFileSync(join(ROOT, "protos", file), "utf8"));
    const fields = protos.flatMap((text) =>
      [...text.matchAll(/\b([a-z]+(?:_[a-z]+)+) = \d+;/g)].map((match) => match[1]),
    );
    // The kinds of events are plain words to everybody.
    const kinds = /^(request|response)_(headers|body|trailers)$/;
    const names = [...new Set(fields)].filter((name) => name !== undefined && !kinds.test(name));
    assert.ok(names.length > 8, "the protos were not read");
    const pattern = new RegExp(`\\b(${names.join("|")})\\b`);
    const wrong = written.filter(
      ({ file, code }) => file !== "extproc/wire.ts" && !/^(envoy|simulator)\//.test(file) && pattern.test(code),
    );
    assert.deepEqual(
      wrong.map(({ file }) => file),
      [],
    );
  });

  it("opens every module with a comment that says what it is", () => {
    const wrong = written.filter(({ file }) => !/^(#!.*\n)?\/\*\*/.test(readFileSync(join(ROOT, "src", file), "utf8")));
    assert.deepEqual(
      wrong.map(({ file }) => file),
      [],
    );
  });
});

describe("the types of the protocol", () => {
  it("are what `npm run proto:types` makes of protos/", async (t) => {
    const fresh = mkdtempSync(join(tmpdir(), "gateway-proto-"));
    t.after(() => rmSync(fresh, { recursive: true, force: true }));
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const [tool = "", ...args] = String(scripts["proto:types"]).split(" ");
    const there = args.map((arg) => (arg.startsWith("--outDir=") ? `--outDir=${fresh}` : arg));
    await promisify(execFile)(join(ROOT, "node_modules/.bin", tool), there, { cwd: ROOT });
    assert.deepEqual(tree(join(ROOT, "src", GENERATED)), tree(fresh));
  });
});

describe("package-lock.json", () => {
  it("names no registry, so that npm ci works behind any", () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
    const resolved = Object.entries(packages).filter(([, entry]) => Object.hasOwn(Object(entry), "resolved"));
    assert.deepEqual(resolved, []);
    assert.ok(Object.keys(packages).length > 50);
  });
});

function readSource(file: string): Source {
  const text = readFileSync(join(ROOT, "src", file), "utf8");
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
  const found = code.matchAll(
    /^(?:import|export)\s(?:[^;"']*?\sfrom\s)?["']([^"']+)["']|\bimport\(\s*"([^"]+)"\s*\)/gm,
  );
  const imports = [...found].map((match) => match[1] ?? match[2] ?? "");
  return { file, code, imports: imports.map((to) => (to.startsWith(".") ? join(dirname(file), to) : to)) };
}

/** `extproc/wire.ts` and `gateway.ts` belong to `extproc` and `gateway`. */
function partOf(file: string): string {
  return file.replace(/\/.*|\.(ts|js)$/g, "");
}

function ownImports(of: (file: string) => boolean): { from: string; to: string }[] {
  const own = new Set(sources.map(({ file }) => file));
  return written
    .filter(({ file }) => of(file))
    .flatMap(({ file, imports }) => imports.filter((to) => own.has(to)).map((to) => ({ from: file, to })));
}

function arrow({ from, to }: { from: string; to: string }): string {
  return `${from} → ${to}`;
}

function tree(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(paths.map((path) => [relative(folder, path), readFileSync(path, "utf8")]));
}
