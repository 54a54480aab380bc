/**
 * The deployment under proof: docker-compose.yml under a project name, a port and image names of its own, with the
 * simulator beside it.
 */
import { join } from "node:path";
import { type RunResult, run } from "./run.ts";

export interface Deployment {
  compose(args: readonly string[], options?: ComposeOptions): Promise<RunResult>;
  /** A command inside a running service. */
  exec(service: string, args: readonly string[], options?: ComposeOptions): Promise<RunResult>;
  /** From now on this compose file counts too. */
  override(file: string): void;
  containerId(service: string): Promise<string>;
  /** Listening TCP sockets inside a container; Docker's own name server is not the service's. */
  listeners(service: string): Promise<string[]>;
  startSimulator(): Promise<void>;
  /** Removes everything that has the project's name. */
  remove(): Promise<void>;
}

export interface ComposeOptions {
  readonly check?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export interface DeploymentOptions {
  readonly port: number;
  readonly tlsDir: string;
}

export const ROOT = new URL("../..", import.meta.url).pathname;
export const PROJECT = "bedrock-gateway-proof";
export const GATEWAY_IMAGE = `${PROJECT}:service`;
export const ENVOY_IMAGE = `${PROJECT}:envoy`;
export const SIMULATOR = `${PROJECT}-bedrock`;

export function createDeployment({ port, tlsDir }: DeploymentOptions): Deployment {
  const files = ["docker-compose.yml", "test/compose/bedrock.yml"];
  const environment = {
    ...process.env,
    COMPOSE_PROJECT_NAME: PROJECT,
    GATEWAY_IMAGE,
    ENVOY_IMAGE,
    TLS_DIR: tlsDir,
    PORT: String(port),
    // Not above the limit of the engine, which a proof inside a container or a small machine has.
    NOFILE: "16384",
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "AKIDSIMULATOR",
    AWS_SECRET_ACCESS_KEY: "simulated-secret-for-the-simulated-bedrock",
  };

  function compose(args: readonly string[], { check = true, env = {} }: ComposeOptions = {}): Promise<RunResult> {
    const chosen = files.flatMap((file) => ["--file", join(ROOT, file)]);
    const command = ["compose", "--project-directory", ROOT, ...chosen, ...args];
    return run("docker", command, { check, env: { ...environment, ...env } });
  }

  function exec(service: string, args: readonly string[], options: ComposeOptions = {}): Promise<RunResult> {
    return compose(["exec", "-T", service, ...args], options);
  }

  return {
    compose,
    exec,
    override: (file) => void files.push(file),
    containerId: async (service) => (await compose(["ps", "--quiet", service])).stdout.trim(),
    listeners: async (service) =>
      readListeners((await exec(service, ["cat", "/proc/net/tcp", "/proc/net/tcp6"])).stdout),
    async startSimulator() {
      await docker(["network", "create", PROJECT]);
      const place = ["--name", SIMULATOR, "--network", PROJECT, "--network-alias", "bedrock.test"];
      const address = ["--host", "0.0.0.0", "--port", "4566"];
      const serve = ["/app/src/simulator/serve.ts", ...address, "--pace", "150", "--deltas", "60"];
      await docker(["run", "--detach", "--no-healthcheck", ...place, "--entrypoint", "node", GATEWAY_IMAGE, ...serve]);
    },
    async remove() {
      await compose(["down", "--volumes", "--remove-orphans", "--timeout", "5"], { check: false });
      await docker(["rm", "--force", SIMULATOR], false);
      await docker(["network", "rm", PROJECT], false);
      await docker(["rmi", "--force", GATEWAY_IMAGE, ENVOY_IMAGE], false);
    },
  };
}

export function docker(args: readonly string[], check = true): Promise<RunResult> {
  return run("docker", args, { check });
}

/** A new image under the same name, as a release is: same content, another id. */
export async function renew(image: string): Promise<void> {
  const container = (await docker(["create", image])).stdout.trim();
  await docker(["commit", "--change", `LABEL proof=${Date.now()}`, container, image]);
  await docker(["rm", container]);
}

/** Rows of state 0A (listening) in the kernel's tables; addresses are hexadecimal, the last byte first. */
function readListeners(tables: string): string[] {
  const rows = tables.matchAll(/^\s*\d+: ([0-9A-F]{8,32}):([0-9A-F]{4}) \S+ 0A /gm);
  const found = [...rows].map(([, address = "", tcp = ""]) => {
    const bytes = Buffer.from(address, "hex").reverse();
    return `${bytes.length === 4 ? bytes.join(".") : `[${address}]`}:${Number.parseInt(tcp, 16)}`;
  });
  return found.filter((listener) => !listener.startsWith("127.0.0.11:"));
}
