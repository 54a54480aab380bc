/**
 * A call in Bedrock's own API: the client's body goes out as it is under the gateway's signature, and the answer comes back
 * as it is, byte for byte and piece by piece.
 *
 * What the gateway adds is the same as for every call: the key, its limits and budgets, and a row in the ledger with what
 * the answer says of its usage as it passes (usage/usage-tap.ts). Nothing is adapted to the model and nothing is tried a
 * second time, except by Envoy before an answer begins. Errors of Bedrock's pass as they are too, save those that speak of
 * the gateway's own identity: an SDK would look for the mistake in its own credentials, and learn the gateway's account.
 */
import type { Caller } from "../access/authenticate.ts";
import { budgetsOf, budgetWarnings } from "../access/budgets.ts";
import type { Admission } from "../access/limits.ts";
import type { SignedCall } from "../bedrock/converse-call.ts";
import { bedrockHttpError, concernsGateway, faultOf } from "../bedrock/errors.ts";
import { isStreaming, type ModelCalls, type ModelOperation, REQUEST_HEADERS } from "../bedrock/model-call.ts";
import type { NativeBody } from "../bedrock/native-body.ts";
import { awsErrorBody, awsErrorHeaders, awsErrorStatus } from "../dialects/aws-errors.ts";
import { GatewayError, toGatewayError } from "../errors.ts";
import { isJsonObject, parseJson } from "../json.ts";
import { publicName, type Target } from "../models/targets.ts";
import type { Transform } from "../transform.ts";
import { DEFAULT_MAX_TOKENS, type PricedRequest } from "../usage/call-cost.ts";
import type { CallRecord, CallRecorder, ObserveCall } from "../usage/call-record.ts";
import { estimateTokens, textBytes } from "../usage/estimate.ts";
import type { Sighting } from "../usage/meter.ts";
import { usageTap } from "../usage/usage-tap.ts";
import { type AnswerHead, type AnswerReader, collector, MAX_ERROR_BYTES } from "./answer-reader.ts";
import { type ErrorShape, errorAnswer } from "./answers.ts";
import type { Forwarding } from "./forwarding.ts";
import { headerText } from "./headers.ts";
import type { Outlet } from "./outlet.ts";
import type { Headers, Metadata } from "./wire.ts";

/** Written to the ledger and the access log as a dialect's is. */
export const NATIVE = {
  name: "bedrock",
  errorBody: awsErrorBody,
  errorHeaders: awsErrorHeaders,
  errorStatus: awsErrorStatus,
} as const satisfies ErrorShape;

export interface NativeCallServices {
  readonly modelCalls: ModelCalls;
  readonly recorder: CallRecorder;
  readonly now: () => number;
  readonly onFault: (error: unknown, requestId: string) => void;
}

export interface NativeCallRequest {
  readonly id: string;
  readonly caller: Caller;
  readonly admission: Admission;
  readonly trace: ObserveCall;
  readonly operation: ModelOperation;
  /** As the client wrote it. */
  readonly model: string;
  readonly target: Target;
  readonly headers: Headers;
  readonly body: Buffer;
  /** What was read of the body. */
  readonly read: NativeBody;
  readonly startedAt: number;
}

const NO_BYTES = Buffer.alloc(0);

export class NativeCall implements Forwarding {
  readonly #services: NativeCallServices;
  readonly #request: NativeCallRequest;
  readonly #outlet: Outlet;
  readonly #inputEstimate: number;
  #record: CallRecord | undefined;
  #status = 200;
  #over = false;

  constructor(services: NativeCallServices, request: NativeCallRequest, outlet: Outlet) {
    const { body, read } = request;
    this.#services = services;
    this.#request = request;
    this.#outlet = outlet;
    this.#inputEstimate = estimateTokens(read.json === undefined ? body.length : textBytes(read.json));
  }

  async prepare(): Promise<SignedCall | undefined> {
    const { admission, read, target, operation, body } = this.#request;
    try {
      await admission.reserveTokens({ prompt: this.#inputEstimate, output: read.maxTokens ?? DEFAULT_MAX_TOKENS });
    } finally {
      Object.assign(this.#outlet.headers, admission.headers);
    }
    const { region, modelId } = target;
    const headers = this.#requestHeaders();
    const signed = await this.#services.modelCalls.sign({ region, modelId, operation, headers, body });
    if (this.#over) return undefined;
    const record = await this.#open();
    this.#record = record;
    if (!this.#over) return signed;
    await record.abandoned();
    return undefined;
  }

  startMetadata(): Metadata {
    const { caller, operation, target } = this.#request;
    return { key_id: caller.key.id, dialect: NATIVE.name, model: target.modelId, stream: isStreaming(operation) };
  }

  forwarded(): void {}

  answered(head: AnswerHead): AnswerReader {
    const record = this.#opened();
    this.#status = head.status;
    record.answered(head.status, head.headers.get("x-amzn-requestid"));
    this.#describe(record);
    if (head.status !== 200) {
      return collector(MAX_ERROR_BYTES, { failed: (error) => this.#failed(error) }, (body) =>
        this.#refused(head, body),
      );
    }
    this.#outlet.begin({ status: 200, headers: headersForClient(head.headers) });
    return this.#passing(
      record,
      usageTap(this.#request.operation, (name) => head.headers.get(name)),
    );
  }

  unanswered(error: GatewayError, lost: boolean): Promise<void> {
    if (lost) this.#record?.lost();
    return this.#failed(error);
  }

  async interrupted(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    await this.#record?.interrupted(this.#outlet.status ?? 499);
    this.#settle();
  }

  #opened(): CallRecord {
    if (this.#record === undefined) throw new Error("an answer without a row");
    return this.#record;
  }

  #open(): Promise<CallRecord> {
    const { id, caller, model, target, operation, startedAt, trace } = this.#request;
    return this.#services.recorder.open({
      id,
      key: caller.key,
      budgets: budgetsOf(caller),
      dialect: NATIVE.name,
      modelRequested: model,
      modelInvoked: target.modelId,
      region: target.region,
      foundationModel: target.foundationModel,
      request: this.#asked(),
      inputEstimate: this.#inputEstimate,
      stream: isStreaming(operation),
      startedAt,
      trace,
    });
  }

  /** What the price depends on. */
  #asked(): PricedRequest {
    const { headers, read } = this.#request;
    const tier = read.serviceTier ?? headers.get("x-amzn-bedrock-service-tier");
    const latency = read.latency ?? headers.get("x-amzn-bedrock-performanceconfig-latency");
    return {
      ...(read.maxTokens !== undefined && { inferenceConfig: { maxTokens: read.maxTokens } }),
      ...(tier !== undefined && { serviceTier: { type: tier } }),
      ...(latency === "optimized" && { performanceConfig: { latency } }),
    };
  }

  #requestHeaders(): Record<string, string> {
    const { headers, operation, caller } = this.#request;
    // What is not ASCII is signed in one encoding and sent in another.
    const given = REQUEST_HEADERS.flatMap((name): [string, string][] => {
      const value = headers.get(name);
      return value === undefined || !/^[\x20-\x7e]*$/.test(value) ? [] : [[name, value]];
    });
    const own = operation.startsWith("invoke") ? taggedMetadata(headers.get(METADATA_HEADER), caller.key.id) : {};
    return { "content-type": "application/json", ...Object.fromEntries(given), ...own };
  }

  /** Bytes go on at once; the tap only sees them. */
  #passing(record: CallRecord, tap: Transform<Uint8Array, Sighting>): AnswerReader {
    const call = this;
    let failure: GatewayError | undefined;
    let blind = false;

    function see(sightings: () => Iterable<Sighting>): void {
      if (blind) return;
      try {
        for (const sighting of sightings()) record.meter.note(sighting);
      } catch (error) {
        blind = true;
        if (error instanceof GatewayError) failure = error;
      }
    }

    return {
      get over() {
        return call.#over;
      },
      push(bytes) {
        if (call.#over || bytes.length === 0) return;
        see(() => tap.push(bytes));
        return call.#outlet.write(bytes);
      },
      end() {
        const wasBlind = blind;
        see(() => tap.end());
        // Bedrock's own error, or an end that came too early; a frame that only the tap could not read is none.
        const failed = failure !== undefined && (!wasBlind || faultOf(failure) !== undefined) ? failure : undefined;
        return call.#ended(record, failed);
      },
    };
  }

  async #ended(record: CallRecord, failure: GatewayError | undefined): Promise<void> {
    if (failure === undefined) await record.completed(this.#status);
    else await record.failed(failure, this.#status);
    this.#finish(NO_BYTES, failure);
  }

  /** Bedrock's answer is an error. */
  async #refused(head: AnswerHead, body: Buffer): Promise<void> {
    const error = bedrockHttpError(head.status, (name) => head.headers.get(name), body.toString("utf8"));
    if (concernsGateway(error)) return this.#failed(error);
    await this.#record?.failed(error, head.status);
    if (this.#over) return;
    this.#outlet.begin({ status: head.status, headers: headersForClient(head.headers) });
    this.#finish(body, error);
  }

  #finish(last: Buffer, error: GatewayError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#settle();
    this.#outlet.finish(last, { ...this.#metadata(), ...(error !== undefined && { error: error.code }) });
  }

  /** There is no answer of Bedrock's that could be passed on. */
  async #failed(cause: unknown): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const error = toGatewayError(cause);
    const { id } = this.#request;
    if (error.kind.fault !== "client" && error.kind.fault !== "limit") this.#services.onFault(error, id);
    const answer = errorAnswer(error, NATIVE, id);
    await this.#record?.failed(error, this.#outlet.status ?? answer.status);
    this.#settle();
    if (this.#outlet.finished) return;
    // Nothing in the middle of somebody else's bytes would be understood: the connection has to break.
    if (this.#outlet.committed) throw error;
    this.#outlet.respond(answer, { ...this.#metadata(), error: error.code });
  }

  #settle(): void {
    this.#request.admission.settle(this.#record?.tokens ?? 0);
  }

  /** What became of the request, in headers of the answer. */
  #describe({ budgets }: CallRecord): void {
    const { caller, model, target } = this.#request;
    const { headers } = this.#outlet;
    const warnings = budgetWarnings(budgets, caller);
    if (warnings.length > 0) headers["x-gateway-warning"] = headerText(warnings.join("; "));
    if (target.modelId !== model) headers["x-gateway-model"] = headerText(publicName(target));
  }

  /** For the access log. */
  #metadata(): Metadata {
    return { ...this.startMetadata(), region: this.#request.target.region, ...this.#record?.metadata() };
  }
}

const METADATA_HEADER = "x-amzn-bedrock-request-metadata";

/**
 * The key's id beside what the client says, for AWS's own invocation log. InvokeModel has a header for it; in Converse it
 * would be a change of the body.
 */
function taggedMetadata(given: string | undefined, keyId: string): Record<string, string> {
  let client: unknown = {};
  try {
    client = given === undefined ? {} : parseJson(given);
  } catch {
    return {}; // Bedrock refuses it with better words.
  }
  return isJsonObject(client) ? { [METADATA_HEADER]: JSON.stringify({ ...client, gateway_key_id: keyId }) } : {};
}

/** Length and framing are Envoy's; cookies and the like are nobody's. */
function headersForClient(headers: Headers): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => /^(x-amzn-|content-type$|retry-after$)/.test(name)));
}
