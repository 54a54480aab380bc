/**
 * One client's call: its choices, their attempts, and the answer that is put together from them.
 *
 * Envoy forwards the first choice's first attempt: that is the hot path, and mostly the whole story. Further choices, and
 * attempts after a failure that another one may mend, go out through the egress listener, each with a signature and a
 * ledger row of its own. An attempt can be replaced until something of the answer has gone to the client. The call ends
 * once: when all choices are complete, or with the first failure that nothing mends. Where fallbacks have failed too, the
 * client hears of the model that it asked for: its prompt may be too long for one of which it knows nothing.
 */
import type { Readable } from "node:stream";
import type { Caller } from "../access/authenticate.ts";
import { budgetsOf, budgetWarnings } from "../access/budgets.ts";
import type { Admission } from "../access/limits.ts";
import type { ConverseResponse, TokenUsage } from "../bedrock/converse.ts";
import type { ConverseCalls, SignedCall } from "../bedrock/converse-call.ts";
import type { IncomingAnswer } from "../bedrock/egress.ts";
import { synthesizeEvents } from "../bedrock/synthesize-events.ts";
import type { Conversation, Dialect } from "../dialects/dialect.ts";
import { encodeEvent, KEEP_ALIVE, sse } from "../dialects/sse.ts";
import { type ErrorCode, GatewayError, toGatewayError } from "../errors.ts";
import type { Attempt, CallPlan, Planner } from "../models/call-plan.ts";
import { withoutParts } from "../models/lessons.ts";
import { publicName, type Target } from "../models/targets.ts";
import { formatUsd } from "../money.ts";
import type { Budget } from "../store/store.ts";
import { chain } from "../transform.ts";
import { DEFAULT_MAX_TOKENS } from "../usage/call-cost.ts";
import type { CallRecord, CallRecorder, ObserveCall } from "../usage/call-record.ts";
import { estimateInputTokens } from "../usage/estimate.ts";
import { type AnswerHead, type AnswerReader, createAnswerReader } from "./answer-reader.ts";
import { errorAnswer, hadBeenSent, localReplyError, statusOf } from "./answers.ts";
import type { Forwarding } from "./forwarding.ts";
import { headerText, LOCAL_REPLY_HEADER } from "./headers.ts";
import type { Outlet } from "./outlet.ts";
import type { AnswerArchive } from "./stored-answers.ts";
import type { Metadata } from "./wire.ts";

export interface CallServices {
  readonly planner: Planner;
  readonly calls: ConverseCalls;
  readonly recorder: CallRecorder;
  readonly now: () => number;
  /** Sends an attempt of our own. */
  readonly egress: (signed: SignedCall, signal: AbortSignal) => Promise<IncomingAnswer>;
  /** An attempt failed with `cause`, and another one follows: with what was amended or, a fallback, elsewhere. */
  readonly onRecovering: (cause: ErrorCode, fallback: boolean) => void;
  readonly onFault: (error: unknown, requestId: string) => void;
  /** Undefined where nothing is stored. */
  readonly answers: AnswerArchive | undefined;
}

export interface CallRequest {
  readonly id: string;
  readonly caller: Caller;
  /** The caller's place among its limits: tokens are reserved and settled here. */
  readonly admission: Admission;
  readonly trace: ObserveCall;
  readonly dialect: Dialect;
  readonly conversation: Conversation;
  readonly targets: readonly Target[];
  readonly startedAt: number;
}

/**
 * What attempts of our own may bring for one call. Envoy takes our bytes however slowly the client reads them (measured),
 * and holds them: nothing else bounds that. What it forwards itself it holds back at the source.
 */
const MAX_OWN_BYTES = 64 * 1024 * 1024;

interface Choice {
  readonly index: number;
  readonly plan: CallPlan;
  attempt: Attempt;
  record: CallRecord | undefined;
  /** Something of it has gone to the client: no other attempt can take its place. */
  begun: boolean;
  response: ConverseResponse | undefined;
  done: boolean;
  /** Why the model that the client asked for did not answer, once a fallback is tried. */
  failure: GatewayError | undefined;
}

export class Call implements Forwarding {
  readonly #services: CallServices;
  readonly #request: CallRequest;
  readonly #outlet: Outlet;
  readonly #choices: readonly Choice[];
  readonly #records: CallRecord[] = [];
  readonly #estimates = new Map<Attempt, number>();
  /** Rows that were asked for: those that are still being written have their number already. */
  #rows = 0;
  #ownBytes = 0;
  readonly #abort = new AbortController();
  #over = false;

  /** Throws GatewayError when the model can't do what was asked. */
  constructor(services: CallServices, request: CallRequest, outlet: Outlet) {
    const { conversation, targets } = request;
    this.#services = services;
    this.#request = request;
    this.#outlet = outlet;
    this.#choices = Array.from({ length: conversation.choices }, (_, index) => {
      const own = conversation.requests?.[index] ?? conversation.request;
      const plan = services.planner.plan({ ...conversation, request: own, targets });
      return {
        index,
        plan,
        attempt: plan.first,
        record: undefined,
        begun: false,
        response: undefined,
        done: false,
        failure: undefined,
      };
    });
    this.#describe();
  }

  /** Signs the first attempt and opens its row: what Envoy is to forward. Undefined when the client has gone meanwhile. */
  async prepare(): Promise<SignedCall | undefined> {
    const { admission } = this.#request;
    try {
      await admission.reserveTokens(this.#mostTokens());
    } finally {
      Object.assign(this.#outlet.headers, admission.headers);
    }
    return this.#prepare(this.#first);
  }

  /** For the access log, before anything is known of the answer. */
  startMetadata(): Metadata {
    const { caller, dialect, conversation } = this.#request;
    return {
      key_id: caller.key.id,
      dialect: dialect.name,
      model: this.#first.attempt.target.modelId,
      stream: conversation.stream,
    };
  }

  /** The first attempt is on its way: the other choices set out too. */
  forwarded(): void {
    for (const choice of this.#choices.slice(1)) void this.#run(choice);
  }

  /** Envoy has Bedrock's answer to the first attempt. */
  answered(head: AnswerHead): AnswerReader {
    return this.#read(this.#first, head);
  }

  /** Envoy answered in Bedrock's place. `lost`: the request had gone out, and Bedrock may have worked on it. */
  unanswered(error: GatewayError, lost: boolean): Promise<void> {
    if (lost) this.#first.record?.lost();
    return this.#failed(this.#first, error);
  }

  /** The client went away, or Bedrock's connection broke: Envoy does not say which. */
  async interrupted(): Promise<void> {
    await this.#end((record) => record.interrupted(this.#outlet.committed ? 200 : 499));
  }

  get #first(): Choice {
    const [first] = this.#choices;
    if (first === undefined) throw new Error("a call without a choice");
    return first;
  }

  async #prepare(choice: Choice): Promise<SignedCall | undefined> {
    const signed = await this.#sign(choice);
    if (this.#over) return undefined;
    const record = await this.#open(choice);
    if (!this.#over) return signed;
    await record.abandoned();
    return undefined;
  }

  #sign({ attempt: { target, adapted, lessons } }: Choice): Promise<SignedCall> {
    // Shows up in AWS's own invocation log, beside the tokens that AWS bills.
    const requestMetadata = { ...adapted.request.requestMetadata, gateway_key_id: this.#request.caller.key.id };
    return this.#services.calls.prepare({
      region: target.region,
      modelId: target.modelId,
      stream: adapted.stream,
      request: withoutParts({ ...adapted.request, requestMetadata }, lessons),
    });
  }

  async #open(choice: Choice): Promise<CallRecord> {
    const { id, caller, dialect, conversation, startedAt, trace } = this.#request;
    const { target, adapted } = choice.attempt;
    const further = this.#rows;
    this.#rows += 1;
    const record = await this.#services.recorder.open({
      id: further === 0 ? id : `${id}/${further + 1}`,
      ...(further === 0 ? {} : { callId: id }),
      key: caller.key,
      budgets: this.#budgetsFor(choice),
      choices: conversation.choices,
      dialect: dialect.name,
      modelRequested: conversation.model,
      modelInvoked: target.modelId,
      region: target.region,
      foundationModel: target.foundationModel,
      request: adapted.request,
      inputEstimate: this.#estimate(choice.attempt),
      stream: conversation.stream,
      startedAt: further === 0 ? startedAt : this.#services.now(),
      trace,
    });
    choice.record = record;
    this.#records.push(record);
    return record;
  }

  /**
   * The first choice's row holds for all of them: they are let through together. An attempt in its place holds as much,
   * and nothing refuses it.
   */
  #budgetsFor(choice: Choice): Budget[] {
    if (choice !== this.#first) return [];
    const budgets = budgetsOf(this.#request.caller);
    return choice.record === undefined ? budgets : budgets.map((budget) => ({ ...budget, limit: undefined }));
  }

  /** One attempt of our own, to its end. Never throws. */
  async #run(choice: Choice): Promise<void> {
    try {
      const signed = await this.#prepare(choice);
      if (signed === undefined) return;
      const answer = await this.#services.egress(signed, this.#abort.signal);
      await this.#pump(choice, answer);
    } catch (error) {
      await this.#failed(choice, error);
    }
  }

  async #pump(choice: Choice, answer: IncomingAnswer): Promise<void> {
    const { status, headers, body } = answer;
    const lost = () => choice.record?.lost();
    const flags = headers.get(LOCAL_REPLY_HEADER);
    if (flags !== undefined) {
      body.destroy();
      if (hadBeenSent(flags)) lost();
      throw localReplyError(status, flags);
    }
    const requestId = headers.get("x-amzn-requestid");
    if (choice === this.#first && requestId !== undefined) this.#outlet.headers["x-amzn-requestid"] = requestId;
    const reader = this.#read(choice, answer);
    // Leaving the loop early ends the attempt's connection.
    for await (const chunk of unbroken(body, lost)) {
      if (this.#over) return;
      this.#ownBytes += chunk.length;
      if (this.#ownBytes > MAX_OWN_BYTES) {
        throw new GatewayError("upstream_invalid_response", `The answer is larger than ${MAX_OWN_BYTES} bytes.`);
      }
      await reader.push(chunk);
      if (reader.over) return;
    }
    if (!this.#over) await reader.end();
  }

  #read(choice: Choice, head: AnswerHead): AnswerReader {
    const { conversation } = this.#request;
    const { adapted } = choice.attempt;
    const { record } = choice;
    if (record === undefined) throw new Error("an answer without a row");
    record.answered(head.status, head.headers.get("x-amzn-requestid"));
    if (head.status === 200) {
      this.#describe();
      if (conversation.stream) this.#outlet.keepAlive(keepAliveOf(this.#request.dialect));
    }
    const render = adapted.stream
      ? chain(record.meter.stage, adapted.events(), conversation.events(choice.index, knownBefore(record)), sse())
      : undefined;
    return createAnswerReader(head, render, {
      output: (bytes) => {
        choice.begun = true;
        return this.#outlet.write(bytes);
      },
      ended: (last) => this.#completed(choice, record, last),
      whole: (response) => {
        record.meter.read(response);
        return this.#completed(choice, record, this.#wholeAnswer(choice, adapted.answer(response)));
      },
      failed: (error) => this.#failed(choice, error),
    });
  }

  /** Kept until all choices are there, or, for a client that wants a stream, turned into one. */
  #wholeAnswer(choice: Choice, response: ConverseResponse): Buffer {
    choice.response = response;
    const { conversation } = this.#request;
    if (!conversation.stream) return NO_BYTES;
    const render = chain(conversation.events(choice.index, response.usage), sse());
    const pieces = synthesizeEvents(response).flatMap((event) => [...render.push(event)]);
    return Buffer.concat([...pieces, ...render.end()]);
  }

  async #completed(choice: Choice, record: CallRecord, last: Buffer): Promise<void> {
    // What it holds of the budgets must last until the others, too, have ended.
    if (choice !== this.#first || this.#isLast(choice)) await record.completed(200);
    if (this.#over) return;
    if (!this.#isLast(choice)) {
      choice.done = true;
      if (last.length > 0) await this.#outlet.write(last);
      return;
    }
    await this.#first.record?.completed(200);
    if (this.#over) return;
    const { conversation } = this.#request;
    // What fails in here fails while the call is not over yet, and is answered as any other failure.
    const closing = conversation.stream
      ? Buffer.concat([last, ...[...conversation.closing()].map(encodeEvent)])
      : undefined;
    const reply = closing ?? conversation.reply(this.#choices.flatMap(({ response }) => response ?? []));
    await this.#keep();
    if (this.#over) return;
    this.#describe();
    this.#settle();
    this.#over = true;
    if (closing !== undefined) {
      this.#outlet.finish(closing, this.#metadata());
      return;
    }
    const cost = this.#cost();
    if (cost !== undefined) this.#outlet.headers["x-gateway-cost"] = formatUsd(cost);
    this.#outlet.whole(reply, this.#metadata());
  }

  /** The client may refer to the answer as soon as it has it. */
  async #keep(): Promise<void> {
    const { caller, conversation, id } = this.#request;
    const { answers, onFault } = this.#services;
    try {
      const answer = answers && conversation.toStore?.();
      if (answer !== undefined) await answers?.keep(caller.key.id, answer);
    } catch (error) {
      onFault(error, id);
    }
  }

  #isLast(choice: Choice): boolean {
    return this.#choices.every((other) => other === choice || other.done);
  }

  /** Never throws. */
  async #failed(choice: Choice, cause: unknown): Promise<void> {
    if (this.#over || choice.done) return;
    const error = toGatewayError(cause);
    const next = choice.begun || this.#outlet.committed ? undefined : await choice.plan.next(error);
    if (this.#over) return;
    if (next !== undefined) {
      await choice.record?.failed(error, error.status);
      this.#services.onRecovering(error.code, next.fallback);
      if (next.fallback) choice.failure ??= error;
      choice.attempt = next;
      // Not awaited: until it is done Envoy's events have to be heard, the client's leaving among them.
      if (!this.#over) void this.#run(choice);
      return;
    }
    if (error.kind.fault !== "client" && error.kind.fault !== "limit") this.#services.onFault(error, this.#request.id);
    // The rows take a moment to close, and nothing may be committed meanwhile.
    this.#outlet.stopKeepAlive();
    const { committed } = this.#outlet;
    const { dialect, id } = this.#request;
    const told = committed ? error : (choice.failure ?? error);
    const status = committed ? 200 : statusOf(told, dialect);
    await this.#end((record) => (record === choice.record ? record.failed(error, status) : record.interrupted(status)));
    this.#countAttempts();
    const metadata = { ...this.#metadata(), error: told.code };
    if (this.#outlet.finished) return;
    if (!committed) return this.#outlet.respond(errorAnswer(told, dialect, id), metadata);
    const events = this.#request.conversation.failing?.(told) ?? dialect.errorEvents(told, id);
    this.#outlet.finish(Buffer.concat([...events].map(encodeEvent)), metadata);
  }

  async #end(close: (record: CallRecord) => Promise<void>): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#abort.abort();
    await Promise.all(this.#records.map(close));
    this.#settle();
  }

  /** What the call may take of the caller's tokens per minute. */
  #mostTokens() {
    const { inferenceConfig } = this.#first.attempt.adapted.request;
    const { caller, conversation } = this.#request;
    // Reading a long prompt is work that nobody needs to do without a limit.
    const limited = caller.key.tpm !== null || (caller.team !== null && caller.team.tpm !== null);
    const estimate = ({ attempt }: Choice) => this.#estimate(attempt);
    const prompts = () =>
      conversation.requests === undefined
        ? estimate(this.#first) * conversation.choices
        : this.#choices.reduce((sum, choice) => sum + estimate(choice), 0);
    const output = inferenceConfig?.maxTokens ?? DEFAULT_MAX_TOKENS;
    return { prompt: limited ? prompts() : 0, output: output * conversation.choices };
  }

  /** Asked for by the limits and by the row: a long prompt is read once. */
  #estimate(attempt: Attempt): number {
    const known = this.#estimates.get(attempt) ?? estimateInputTokens(attempt.adapted.request);
    this.#estimates.set(attempt, known);
    return known;
  }

  /** Of all attempts, since Bedrock has worked on each. */
  #settle(): void {
    this.#request.admission.settle(this.#records.reduce((sum, { tokens = 0 }) => sum + tokens, 0));
  }

  /** What became of the request, in headers of the answer. */
  #describe(): void {
    const { headers } = this.#outlet;
    const { conversation } = this.#request;
    const { target, adapted } = this.#first.attempt;
    const spent = budgetWarnings(this.#records[0]?.budgets ?? [], this.#request.caller);
    const warnings = [...conversation.warnings, ...adapted.warnings, ...spent];
    if (warnings.length > 0) headers["x-gateway-warning"] = headerText(warnings.join("; "));
    else delete headers["x-gateway-warning"];
    if (target.modelId !== conversation.model) headers["x-gateway-model"] = headerText(publicName(target));
    else delete headers["x-gateway-model"];
    this.#countAttempts();
  }

  #countAttempts(): void {
    const count = this.#records.length;
    if (count > this.#choices.length) this.#outlet.headers["x-gateway-attempts"] = String(count);
  }

  /** Of all attempts. Undefined where one of them has no price. */
  #cost(): bigint | undefined {
    const costs = this.#records.map(({ cost }) => cost);
    return costs.every((cost) => cost !== undefined) ? costs.reduce((sum, cost) => sum + cost, 0n) : undefined;
  }

  /** For the access log: what the call used with all its attempts. */
  #metadata(): Metadata {
    const all = this.#records.map((record) => record.metadata());
    const sum = (name: string) => all.reduce((total, metadata) => total + Number(metadata[name] ?? 0), 0);
    const { target } = this.#first.attempt;
    const cost = this.#cost();
    const firstTokens = this.#records.flatMap(({ meter }) => meter.firstTokenAt ?? []);
    return {
      ...this.startMetadata(),
      model: target.modelId,
      region: target.region,
      attempts: this.#records.length,
      input_tokens: sum("input_tokens"),
      output_tokens: sum("output_tokens"),
      cache_read_tokens: sum("cache_read_tokens"),
      cache_write_tokens: sum("cache_write_tokens"),
      estimated: all.some(({ estimated }) => estimated === true),
      // As text: a number would lose digits.
      cost_usd: cost === undefined ? undefined : formatUsd(cost),
      first_token_ms: firstTokens.length === 0 ? undefined : Math.min(...firstTokens) - this.#request.startedAt,
      duration_ms: this.#services.now() - this.#request.startedAt,
    };
  }
}

const NO_BYTES = Buffer.alloc(0);

function keepAliveOf({ keepAlive }: Dialect): Buffer {
  return keepAlive === undefined ? KEEP_ALIVE : encodeEvent(keepAlive);
}

function knownBefore({ inputEstimate }: CallRecord): TokenUsage {
  return { inputTokens: inputEstimate, outputTokens: 0 };
}

/** Tells a body that breaks off from a failure of who reads it. */
async function* unbroken(body: Readable, onBroken: () => void): AsyncIterable<Buffer> {
  try {
    yield* body;
  } catch (cause) {
    onBroken();
    throw new GatewayError("upstream_invalid_response", "Amazon Bedrock's answer broke off.", { cause });
  }
}
