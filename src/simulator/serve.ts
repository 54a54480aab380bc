/**
 * Runs the simulated Bedrock by itself, for the benchmark and for trying things by hand:
 *
 *     node src/simulator/serve.ts --port 4566 --no-verify
 *
 * Prints one line of JSON (`url`, `pid` and the credentials it accepts) when it listens, and ends on SIGTERM or SIGINT.
 */
import { parseArgs } from "node:util";
import { SIMULATOR_CREDENTIALS, startSimulator } from "./simulator.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    host: { type: "string", default: "127.0.0.1" },
    region: { type: "string", multiple: true, default: ["us-east-1"] },
    "no-verify": { type: "boolean", default: false },
    pace: { type: "string" },
    deltas: { type: "string" },
    chunking: { type: "string" },
    log: { type: "boolean", default: false },
  },
});

const simulator = await startSimulator({
  port: number("port", values.port),
  host: values.host,
  region: values.region,
  verify: !values["no-verify"],
  ...(values.pace === undefined ? {} : { pace: number("pace", values.pace) }),
  ...(values.deltas === undefined ? {} : { deltas: number("deltas", values.deltas) }),
  ...(values.chunking === undefined ? {} : { chunking: chunking(values.chunking) }),
  ...(values.log ? { log: (line: string) => void process.stderr.write(`${line}\n`) } : {}),
});
const { accessKeyId, secretAccessKey } = SIMULATOR_CREDENTIALS;
process.stdout.write(`${JSON.stringify({ url: simulator.url, pid: process.pid, accessKeyId, secretAccessKey })}\n`);
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void simulator.close());

function chunking(text: string): "whole" | "frames" | number {
  return text === "whole" || text === "frames" ? text : number("chunking", text);
}

function number(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} must be a whole number, not ${text}`);
  return value;
}
