/**
 * One request of the simulated Bedrock, from the bytes to the answer: authenticate, read, look for a script, else answer
 * as the real service might.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { isJsonObject, type JsonObject, parseJson } from "../json.ts";
import { type Answer, AnswerQueue, type MessageAnswer, type ScriptedAnswer } from "./answer.ts";
import { CATALOG } from "./catalog.ts";
import { claudeBody, claudeSteps, countHeaders, isClaudeBody, readClaude } from "./claude-message.ts";
import { ControlPlane } from "./control-plane.ts";
import { type ConverseCall, readConverse } from "./converse-call.ts";
import { echo } from "./echo.ts";
import { embed } from "./embeddings.ts";
import { Refusal, statusOf } from "./failure.ts";
import { messageBody, messageSteps, type Rendering } from "./message.ts";
import { type Operation, type RecordedRequest, Recorder } from "./recorder.ts";
import { type Route, route } from "./route.ts";
import { type Credentials, verifySignature } from "./signature.ts";
import type { CatalogFailure, SimulatorOptions } from "./simulator.ts";
import { countInput, TokenCounter } from "./token-count.ts";
import { EVENT_STREAM, Exchange, Gone } from "./wire.ts";

/** The default credentials of the demo and the tests; they open nothing but a simulator. */
export const SIMULATOR_CREDENTIALS: Credentials = {
  accessKeyId: "AKIDSIMULATOR",
  secretAccessKey: "simulated-secret-for-the-simulated-bedrock",
};

const MAX_BODY_BYTES = 64 * 1024 * 1024;

export class SimulatedBedrock {
  readonly recorder: Recorder;
  readonly script = new AnswerQueue();
  readonly #modelScripts = new Map<string, AnswerQueue>();
  readonly #options: SimulatorOptions;
  readonly #regions: readonly string[];
  readonly #control: ControlPlane;
  readonly #tokens = new TokenCounter();
  #credentials: readonly Credentials[];
  #catalogFailure: (CatalogFailure & { left: number }) | undefined;

  constructor(options: SimulatorOptions) {
    this.#options = options;
    this.#regions = [options.region ?? "us-east-1"].flat();
    this.#credentials = [options.credentials ?? SIMULATOR_CREDENTIALS].flat();
    this.#control = new ControlPlane(options.models ?? CATALOG);
    this.recorder = new Recorder(options.recordLimit ?? 1_000);
  }

  scriptModel(modelId: string, answers: ScriptedAnswer | readonly ScriptedAnswer[]): void {
    const queue = this.#modelScripts.get(modelId) ?? new AnswerQueue();
    this.#modelScripts.set(modelId, queue);
    queue.push(answers);
  }

  reset(): void {
    this.script.clear();
    this.#modelScripts.clear();
    this.#catalogFailure = undefined;
  }

  failCatalog(failure: CatalogFailure | undefined): void {
    this.#catalogFailure = failure && { ...failure, left: failure.times ?? Number.POSITIVE_INFINITY };
  }

  setCredentials(credentials: Credentials | readonly Credentials[]): void {
    this.#credentials = [credentials].flat();
  }

  /** Never rejects: whatever goes wrong becomes an answer, or the end of the connection. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now();
    const method = request.method ?? "";
    const path = request.url ?? "";
    const where = route(method, path);
    const { operation, resource: modelId } = where;
    const recorded = this.recorder.add(
      { method, path, headers: request.headers, operation, modelId },
      request.rawHeaders,
    );
    const onDone = () => {
      const end = recorded.aborted ? "aborted" : (recorded.status ?? "cut");
      this.#options.log?.(`${method} ${path} ${operation} ${end} ${Math.round(performance.now() - started)}ms`);
    };
    const exchange = new Exchange(request, response, {
      recorded,
      recorder: this.recorder,
      requestId: randomUUID(),
      onDone,
    });
    try {
      const body = await readBody(request);
      const region = this.#authenticate(request, body);
      this.#readJson(recorded, body);
      await this.#answer(exchange, where, region, started);
    } catch (error) {
      await refuse(exchange, response, error);
    }
  }

  /** Returns the region that the request is for. */
  #authenticate(request: IncomingMessage, body: Buffer): string {
    const [first = "us-east-1"] = this.#regions;
    if (request.headers["transfer-encoding"] !== undefined)
      throw new Refusal("LengthRequiredException", "The simulator takes no chunked requests: send content-length.");
    if (this.#options.verify === false) return first;
    const authorization = request.headers.authorization ?? "";
    if (/^Bearer /i.test(authorization)) {
      if (this.#options.bearerTokens?.includes(authorization.slice("Bearer ".length))) return first;
      throw new Refusal("AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.");
    }
    const { method = "", url: target = "", rawHeaders } = request;
    const now = this.#options.now?.() ?? Date.now();
    const rules = { credentials: this.#credentials, regions: this.#regions, now };
    return verifySignature({ method, target, rawHeaders, body }, rules);
  }

  #readJson(recorded: RecordedRequest, body: Buffer): void {
    if (body.length === 0) return;
    this.recorder.setBody(recorded, body.toString());
    try {
      recorded.json = parseJson(recorded.body);
    } catch {
      throw new Refusal("SerializationException", "The request body is not valid JSON.");
    }
    this.recorder.changed();
    const objection = this.#options.judge?.(recorded.operation, recorded.json);
    if (objection !== undefined) throw new Refusal("ValidationException", objection);
  }

  async #answer(exchange: Exchange, where: Route, region: string, started: number): Promise<void> {
    const { operation, resource = "" } = where;
    switch (operation) {
      case "Converse":
      case "ConverseStream": {
        const call = readConverse(exchange.recorded.json);
        const answer = this.#scripted(exchange.recorded) ?? this.script.next();
        return this.#chat(exchange, call, resolve(answer, exchange.recorded), started);
      }
      case "InvokeModel":
      case "InvokeModelWithResponseStream": {
        const answer = resolve(this.#scripted(exchange.recorded), exchange.recorded);
        const { json } = exchange.recorded;
        if (isClaudeBody(json)) return this.#chat(exchange, readClaude(json), answer, started);
        if (answer.kind !== "echo") return give(exchange, answer);
        if (operation === "InvokeModel") return this.#embed(exchange, resource);
        throw new Refusal("ValidationException", "The model is unsupported for streaming.");
      }
      case "CountTokens": {
        const answer = this.#scripted(exchange.recorded);
        if (answer !== undefined) return give(exchange, resolve(answer, exchange.recorded));
        return this.#count(exchange, resource);
      }
      case "Unknown":
        return exchange.json(
          404,
          { Output: { __type: "com.amazon.coral.service#UnknownOperationException" }, Version: "1.0" },
          {
            "x-amzn-errortype": "UnknownOperationException",
          },
        );
      default:
        return this.#catalog(exchange, where, region);
    }
  }

  #scripted({ modelId }: RecordedRequest): ScriptedAnswer | undefined {
    return modelId === undefined ? undefined : this.#modelScripts.get(modelId)?.next();
  }

  async #chat(exchange: Exchange, call: ConverseCall, answer: Answer, started: number): Promise<void> {
    if (answer.kind !== "message" && answer.kind !== "echo") return give(exchange, answer);
    const model = this.#control.find(exchange.recorded.modelId ?? "");
    if (answer.kind === "echo" && model !== undefined && !model.outputModalities.includes("TEXT"))
      throw new Refusal(
        "ValidationException",
        "This action doesn't support the model that you provided. Try again with a supported text or chat model.",
      );
    if (answer.delay !== undefined) await exchange.wait(answer.delay);
    const message = answer.kind === "message" ? answer : this.#echo(call, answer.headers);
    const rendering: Rendering = {
      usage: message.usage ?? this.#tokens.usage(call, message.content),
      latencyMs: Math.round(performance.now() - started),
      ...(answer.kind === "echo" && this.#options.deltas !== undefined ? { wordsPerDelta: 1 } : {}),
    };
    const { operation, modelId = "" } = exchange.recorded;
    if (operation === "Converse") return exchange.json(200, messageBody(message, rendering), message.headers);
    if (operation === "InvokeModel")
      return exchange.json(200, claudeBody(message, rendering, modelId), {
        ...countHeaders(rendering),
        ...message.headers,
      });
    const steps =
      operation === "ConverseStream" ? messageSteps(message, rendering) : claudeSteps(message, rendering, modelId);
    const { chunking = message.pace === undefined ? "whole" : "frames", pace } = message;
    if (chunking === "whole" && pace === undefined) return exchange.eventsAtOnce(steps, message.headers);
    return exchange.events(steps, chunking, message.headers);
  }

  #echo(call: ConverseCall, headers: Readonly<Record<string, string>> = {}): MessageAnswer {
    const { pace, chunking, deltas } = this.#options;
    return {
      kind: "message",
      content: echo(call, deltas),
      headers,
      ...(pace === undefined ? {} : { pace }),
      ...(chunking === undefined ? {} : { chunking }),
    };
  }

  #embed(exchange: Exchange, modelId: string): Promise<void> {
    const baseId = this.#control.find(modelId)?.modelId ?? modelId;
    const { body, inputTokens } = embed(baseId, exchange.recorded.json);
    return exchange.json(200, body, {
      "x-amzn-bedrock-input-token-count": String(inputTokens),
      "x-amzn-bedrock-output-token-count": "0",
    });
  }

  /** As on the real service, only bare model ids count. */
  #count(exchange: Exchange, modelId: string): Promise<void> {
    const { json } = exchange.recorded;
    const input = isJsonObject(json) && isJsonObject(json.input) ? json.input.converse : undefined;
    if (this.#control.find(modelId)?.modelId !== modelId || input === undefined)
      throw new Refusal("ValidationException", "The provided model doesn't support counting tokens.");
    return exchange.json(200, { inputTokens: countInput(readConverse(input)) });
  }

  async #catalog(exchange: Exchange, where: Route, region: string): Promise<void> {
    const failure = this.#catalogFailure;
    if (failure !== undefined) {
      failure.left -= 1;
      if (failure.left <= 0) this.#catalogFailure = undefined;
      if (failure.delay !== undefined) await exchange.wait(failure.delay);
      if (failure.status !== undefined || failure.type !== undefined || failure.delay === undefined) {
        const { status, type = "InternalServerException", message = "The catalog fails as it was told to." } = failure;
        return exchange.json(status ?? statusOf(type), { message }, { "x-amzn-errortype": type });
      }
    }
    return exchange.json(200, this.#catalogBody(where, region));
  }

  #catalogBody({ operation, resource = "", query }: Route, region: string): JsonObject {
    if (operation === "ListFoundationModels") return this.#control.listFoundationModels(region);
    if (operation === "GetFoundationModel") return this.#control.getFoundationModel(resource, region);
    if (operation === "ListInferenceProfiles") return this.#control.listInferenceProfiles(query, region);
    return this.#control.getInferenceProfile(resource, region);
  }
}

const STREAMING: ReadonlySet<Operation> = new Set(["ConverseStream", "InvokeModelWithResponseStream"]);

/** Gives an answer that says itself what goes on the wire. */
async function give(exchange: Exchange, answer: Answer): Promise<void> {
  if (answer.delay !== undefined) await exchange.wait(answer.delay);
  switch (answer.kind) {
    case "events":
      return exchange.events(answer.steps, answer.chunking ?? "frames", answer.headers);
    case "json":
      return exchange.json(answer.status ?? 200, answer.body, answer.headers, answer.cut);
    case "error": {
      const type = answer.type === "" ? {} : { "x-amzn-errortype": errorType(answer.type) };
      const body = answer.body ?? { message: answer.message ?? `${answer.type} as scripted.` };
      return exchange.json(answer.status ?? statusOf(answer.type), body, { ...type, ...answer.headers });
    }
    case "cut":
      if (answer.at === "after-headers") {
        const streams = STREAMING.has(exchange.recorded.operation);
        exchange.head(200, streams ? EVENT_STREAM : "application/json", answer.headers);
        await exchange.flushHead();
      }
      return exchange.cut(answer.manner ?? "close");
    case "message":
    case "echo":
      throw new Error(`the script has a "${answer.kind}" answer for ${exchange.recorded.operation}`);
  }
}

async function refuse(exchange: Exchange, response: ServerResponse, error: unknown): Promise<void> {
  if (error instanceof Gone || !exchange.open) return;
  if (response.headersSent) return exchange.cut("close");
  if (error instanceof Refusal)
    return exchange.json(error.status, { message: error.message }, { "x-amzn-errortype": errorType(error.type) });
  const message = `The simulator failed: ${error instanceof Error ? error.message : String(error)}`;
  return exchange.json(500, { message }, { "x-amzn-errortype": "InternalServerException" });
}

/** AWS's header carries a namespace behind the name. */
function errorType(type: string): string {
  return `${type}:http://internal.amazon.com/coral/com.amazon.bedrock/`;
}

function resolve(answer: ScriptedAnswer | undefined, request: RecordedRequest): Answer {
  if (answer === undefined) return { kind: "echo" };
  return typeof answer === "function" ? answer(request) : answer;
}

function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
      else chunks.length = 0;
    });
    request.on("end", () => {
      if (size <= MAX_BODY_BYTES) resolve(Buffer.concat(chunks, size));
      else reject(new Refusal("RequestEntityTooLargeException", "The request body is too large."));
    });
    request.on("error", () => reject(new Gone()));
    request.on("close", () => {
      if (!request.complete) reject(new Gone());
    });
  });
}
