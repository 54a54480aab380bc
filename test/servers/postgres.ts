/**
 * A real PostgreSQL server for a test file: in a temporary folder, on a Unix socket in it, without care for the disk.
 *
 * It refuses to run as root, so it then gets the user `postgres` or `nobody`. Programs are found in POSTGRES_BIN, on PATH or
 * where Debian puts them.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import pg from "pg";

export interface PostgresServer {
  /** The address of a database; of a user without a password unless one is given. */
  url(database: string, user?: string): string;
  /** Makes an empty database and gives its address. */
  createDatabase(): Promise<string>;
  /** Runs SQL as the superuser. */
  run(sql: string, database?: string): Promise<pg.QueryResult>;
  /** Ends the server as an operator does who is in a hurry: open connections are cut. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

const DEBIAN = "/usr/lib/postgresql";

/** Why there is no server to test with; undefined when there is one. REQUIRE_SERVERS=1 makes it an error. */
export function postgresMissing(): string | undefined {
  if (programs() !== undefined) return undefined;
  const reason = "PostgreSQL's server is not installed (set POSTGRES_BIN to the folder of initdb and postgres)";
  if (process.env.REQUIRE_SERVERS === "1") throw new Error(reason);
  return reason;
}

let shared: Promise<PostgresServer> | undefined;

/** One server for the whole process, ended with it. */
export function sharedPostgres(): Promise<PostgresServer> {
  shared ??= startPostgres();
  return shared;
}

/** A server of one's own, to stop and start; ended with the process. */
export async function startPostgres(): Promise<PostgresServer> {
  const bin = programs();
  if (bin === undefined) throw new Error(postgresMissing());
  const dir = mkdtempSync(join(tmpdir(), "gateway-postgres-"));
  const data = join(dir, "data");
  const user = serverUser();
  mkdirSync(data, { mode: 0o700 });
  if (user !== undefined) for (const path of [dir, data]) chownSync(path, user.uid, user.gid);
  execFileSync(join(bin, "initdb"), ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"], {
    cwd: dir,
    stdio: "pipe",
    ...user,
  });
  // Who is called `locked` needs the password.
  writeFileSync(join(data, "pg_hba.conf"), "local all locked scram-sha-256\nlocal all all trust\n");
  const options = [
    "listen_addresses=",
    `unix_socket_directories=${dir}`,
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "max_connections=60",
    "autovacuum=off",
  ];
  let child: ChildProcess | undefined;
  let databases = 0;

  function url(database: string, as = "postgres"): string {
    return `postgres://${as}@localhost/${database}?host=${encodeURIComponent(dir)}`;
  }

  async function run(sql: string, database = "postgres"): Promise<pg.QueryResult> {
    const client = new pg.Client({ connectionString: url(database) });
    await client.connect();
    try {
      return await client.query(sql);
    } finally {
      await client.end();
    }
  }

  async function start(): Promise<void> {
    const server = spawn(join(bin ?? "", "postgres"), ["-D", data, ...options.flatMap((option) => ["-c", option])], {
      cwd: dir,
      stdio: "ignore",
      ...user,
    });
    child = server;
    for (;;) {
      try {
        await run("SELECT 1");
        return;
      } catch (error) {
        if (server.exitCode !== null) throw new Error("the PostgreSQL server does not start", { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async function stop(): Promise<void> {
    if (child === undefined || child.exitCode !== null) return;
    child.kill("SIGINT");
    await once(child, "exit");
  }

  process.once("exit", () => {
    child?.kill("SIGQUIT");
    // It removes this file last; nothing but waiting is possible here.
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (let n = 0; n < 200 && existsSync(join(data, "postmaster.pid")); n++) Atomics.wait(pause, 0, 0, 10);
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  await start();
  // It must not keep the test's process alive.
  child?.unref();
  return {
    url,
    run,
    start,
    stop,
    async createDatabase() {
      const name = `test_${++databases}`;
      await run(`CREATE DATABASE ${name}`);
      return url(name);
    },
  };
}

function programs(): string | undefined {
  const debian = existsSync(DEBIAN) ? readdirSync(DEBIAN).map((version) => join(DEBIAN, version, "bin")) : [];
  const places = [process.env.POSTGRES_BIN ?? "", ...(process.env.PATH ?? "").split(delimiter), ...debian];
  return places.find(
    (place) => place !== "" && existsSync(join(place, "initdb")) && existsSync(join(place, "postgres")),
  );
}

function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    try {
      const id = (flag: string) => Number(execFileSync("id", [flag, name], { stdio: "pipe", encoding: "utf8" }));
      return { uid: id("-u"), gid: id("-g") };
    } catch {
      // The next one.
    }
  }
  throw new Error("PostgreSQL can't run as root, and there is no user postgres or nobody");
}
