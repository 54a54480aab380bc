/**
 * A request for embeddings: as many InvokeModel calls as the model needs, a few at a time through the egress listener, and
 * one answer. Each call has a row of its own in the ledger, the further ones as attempts of the first. The first failure
 * ends the request: half of the vectors are of no use to anybody.
 */
import type { Caller } from "../access/authenticate.ts";
import { budgetsOf, budgetWarnings } from "../access/budgets.ts";
import type { Admission } from "../access/limits.ts";
import type { SignedCall } from "../bedrock/converse-call.ts";
import { type IncomingAnswer, readBody } from "../bedrock/egress.ts";
import { bedrockHttpError } from "../bedrock/errors.ts";
import type { ModelCalls } from "../bedrock/model-call.ts";
import type { EmbeddingsCall as Decoded, EmbeddingsDialect } from "../dialects/embeddings-dialect.ts";
import { toGatewayError } from "../errors.ts";
import type { EmbeddingBatch } from "../models/embeddings.ts";
import { publicName, type Target } from "../models/targets.ts";
import { formatUsd } from "../money.ts";
import type { CallRecord, CallRecorder, ObserveCall } from "../usage/call-record.ts";
import { estimateTokens } from "../usage/estimate.ts";
import { hadBeenSent, jsonAnswer, localReplyError } from "./answers.ts";
import { headerText, LOCAL_REPLY_HEADER } from "./headers.ts";
import type { Outlet } from "./outlet.ts";
import type { Metadata } from "./wire.ts";

export interface EmbeddingsServices {
  readonly modelCalls: ModelCalls;
  readonly recorder: CallRecorder;
  readonly now: () => number;
  readonly egress: (signed: SignedCall, signal: AbortSignal) => Promise<IncomingAnswer>;
}

export interface EmbeddingsRequest {
  readonly id: string;
  readonly caller: Caller;
  readonly admission: Admission;
  readonly trace: ObserveCall;
  readonly dialect: EmbeddingsDialect;
  readonly decoded: Decoded;
  readonly target: Target;
  /** At least one. */
  readonly batches: readonly EmbeddingBatch[];
}

/** Bedrock's quotas for these models are thousands a minute, and one request should not take them all. */
const AT_ONCE = 8;

/** 96 vectors of 1,536 numbers have about 3 MB. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export class EmbeddingsCall {
  readonly #services: EmbeddingsServices;
  readonly #request: EmbeddingsRequest;
  readonly #outlet: Outlet;
  readonly #abort = new AbortController();
  readonly #records: CallRecord[] = [];
  #rows = 0;
  #over = false;

  constructor(services: EmbeddingsServices, request: EmbeddingsRequest, outlet: Outlet) {
    this.#services = services;
    this.#request = request;
    this.#outlet = outlet;
  }

  /** Answers through the outlet. Throws GatewayError, with all rows closed. */
  async run(): Promise<void> {
    const { batches, decoded, admission } = this.#request;
    try {
      await admission.reserveTokens({ prompt: sum(batches.map(estimateOf)), output: 0 });
    } finally {
      Object.assign(this.#outlet.headers, admission.headers);
    }
    const vectors: (readonly number[])[] = new Array(decoded.request.inputs.length);
    const waiting = batches.values();
    try {
      // The first one alone: its budgets and its model's errors decide about all.
      const first = waiting.next().value;
      if (first !== undefined) await this.#embed(first, vectors);
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#embedAll(waiting, vectors)));
    } catch (error) {
      if (this.#over) return;
      await this.#end((record) => record.interrupted(toGatewayError(error).status));
      throw error;
    }
    if (this.#over) return;
    this.#over = true;
    this.#settle();
    this.#describe();
    const used = sum(this.#records.map((record) => record.tokens ?? 0));
    this.#outlet.respond(jsonAnswer(200, decoded.reply(vectors, used)), this.#metadata());
  }

  /** The client went away. */
  async interrupted(): Promise<void> {
    await this.#end((record) => record.interrupted(499));
  }

  async #embedAll(waiting: Iterator<EmbeddingBatch>, vectors: (readonly number[])[]): Promise<void> {
    for (let next = waiting.next(); !next.done && !this.#over; next = waiting.next()) {
      await this.#embed(next.value, vectors);
    }
  }

  async #embed(batch: EmbeddingBatch, vectors: (readonly number[])[]): Promise<void> {
    const { modelCalls, egress } = this.#services;
    const { target, decoded, caller } = this.#request;
    const metadata = { ...decoded.requestMetadata, gateway_key_id: caller.key.id };
    const signed = await modelCalls.sign({
      region: target.region,
      modelId: target.modelId,
      operation: "invoke",
      headers: {
        accept: "application/json",
        "content-type": "application/json",
        "x-amzn-bedrock-request-metadata": JSON.stringify(metadata),
      },
      body: batch.body,
    });
    const record = await this.#open(batch);
    if (this.#over) return record.abandoned();
    try {
      const answer = await egress(signed, this.#abort.signal);
      const embedded = await this.#read(batch, record, answer);
      batch.indexes.forEach((index, place) => {
        vectors[index] = embedded[place] ?? [];
      });
      await record.completed(200);
    } catch (cause) {
      const error = toGatewayError(cause);
      await record.failed(error, error.status);
      throw error;
    }
  }

  async #read(batch: EmbeddingBatch, record: CallRecord, answer: IncomingAnswer) {
    const { status, headers, body } = answer;
    const flags = headers.get(LOCAL_REPLY_HEADER);
    if (flags !== undefined) {
      body.destroy();
      if (hadBeenSent(flags)) record.lost();
      throw localReplyError(status, flags);
    }
    const header = (name: string) => headers.get(name);
    record.answered(status, header("x-amzn-requestid"));
    // What is read from here on Bedrock has worked on.
    const text = await readBody(body, MAX_ANSWER_BYTES).catch((error: unknown) => {
      record.lost();
      throw error;
    });
    if (status !== 200) throw bedrockHttpError(status, header, text);
    const { vectors, inputTokens } = batch.read(text, header);
    if (inputTokens !== undefined) record.meter.note({ type: "metadata", usage: { inputTokens, outputTokens: 0 } });
    return vectors;
  }

  async #open(batch: EmbeddingBatch): Promise<CallRecord> {
    const { id, caller, dialect, decoded, target, batches, trace } = this.#request;
    this.#rows += 1;
    const first = this.#rows === 1;
    const record = await this.#services.recorder.open({
      id: first ? id : `${id}/${this.#rows}`,
      ...(!first && { callId: id }),
      key: caller.key,
      // The first row holds for all of them; those that follow it are let through.
      budgets: first ? budgetsOf(caller) : budgetsOf(caller).map((budget) => ({ ...budget, limit: undefined })),
      dialect: dialect.name,
      operation: "embeddings",
      modelRequested: decoded.model,
      modelInvoked: target.modelId,
      region: target.region,
      foundationModel: target.foundationModel,
      request: { inferenceConfig: { maxTokens: 0 } },
      inputEstimate: estimateOf(batch),
      choices: first ? batches.length : 1,
      stream: false,
      startedAt: this.#services.now(),
      trace,
    });
    this.#records.push(record);
    return record;
  }

  async #end(close: (record: CallRecord) => Promise<void>): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#abort.abort();
    await Promise.all(this.#records.map(close));
    this.#settle();
  }

  #settle(): void {
    this.#request.admission.settle(sum(this.#records.map(({ tokens = 0 }) => tokens)));
  }

  /** What became of the request, in headers of the answer. */
  #describe(): void {
    const { headers } = this.#outlet;
    const { decoded, target, caller } = this.#request;
    const warnings = [...decoded.warnings, ...budgetWarnings(this.#records[0]?.budgets ?? [], caller)];
    if (warnings.length > 0) headers["x-gateway-warning"] = headerText(warnings.join("; "));
    if (target.modelId !== decoded.model) headers["x-gateway-model"] = headerText(publicName(target));
    const cost = this.#cost();
    if (cost !== undefined) headers["x-gateway-cost"] = formatUsd(cost);
  }

  /** Undefined where one of the calls has no price. */
  #cost(): bigint | undefined {
    const costs = this.#records.flatMap(({ cost }) => cost ?? []);
    return costs.length === this.#records.length ? costs.reduce((total, cost) => total + cost, 0n) : undefined;
  }

  /** For the access log. */
  #metadata(): Metadata {
    const { caller, dialect, target } = this.#request;
    const cost = this.#cost();
    const all = this.#records.map((record) => record.metadata());
    return {
      key_id: caller.key.id,
      dialect: dialect.name,
      model: target.modelId,
      region: target.region,
      stream: false,
      attempts: this.#records.length,
      input_tokens: sum(all.map(({ input_tokens }) => Number(input_tokens ?? 0))),
      estimated: all.some(({ estimated }) => estimated === true),
      cost_usd: cost === undefined ? undefined : formatUsd(cost),
    };
  }
}

function estimateOf({ body }: EmbeddingBatch): number {
  return estimateTokens(body.length);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
