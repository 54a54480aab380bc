/**
 * One client's call: its choices, their attempts, and the answer that is put together from them.
 *
 * Envoy forwards the first choice's first attempt: that is the hot path, and mostly the whole story. Further choices, and
 * attempts after a failure that another one may mend, go out through the egress listener, each with a signature and a
 * ledger row of its own. An attempt can be replaced until something of its choice has gone to the client. The call ends
 * once: when all choices are complete, or with the first failure that nothing mends.
 */
import type { ConverseResponse } from "../bedrock/converse.ts";
import type { ConverseCalls, SignedCall } from "../bedrock/converse-call.ts";
import type { IncomingAnswer } from "../bedrock/egress.ts";
import { synthesizeEvents } from "../bedrock/synthesize-events.ts";
import type { Conversation, Dialect } from "../dialects/dialect.ts";
import { encodeEvent, KEEP_ALIVE, sse } from "../dialects/sse.ts";
import { GatewayError, toGatewayError } from "../errors.ts";
import type { Attempt, CallPlan, Planner } from "../models/call-plan.ts";
import { withoutParts } from "../models/lessons.ts";
import type { Target } from "../models/targets.ts";
import type { Key } from "../store/store.ts";
import { chain } from "../transform.ts";
import type { CallRecord, CallRecorder } from "../usage/call-record.ts";
import { type AnswerHead, type AnswerReader, createAnswerReader, drain } from "./answer-reader.ts";
import { errorAnswer } from "./answers.ts";
import type { Outlet } from "./outlet.ts";
import type { Metadata } from "./wire.ts";

export interface CallServices {
  readonly planner: Planner;
  readonly calls: ConverseCalls;
  readonly recorder: CallRecorder;
  readonly now: () => number;
  /** Sends an attempt of our own. */
  readonly egress: (signed: SignedCall, signal: AbortSignal) => Promise<IncomingAnswer>;
  readonly onFault: (error: unknown, requestId: string) => void;
}

export interface CallRequest {
  readonly id: string;
  readonly key: Key;
  readonly dialect: Dialect;
  readonly conversation: Conversation;
  readonly targets: readonly Target[];
  readonly startedAt: number;
}

interface Choice {
  readonly index: number;
  readonly plan: CallPlan;
  attempt: Attempt;
  record: CallRecord | undefined;
  /** Something of it has gone to the client: no other attempt can take its place. */
  begun: boolean;
  response: ConverseResponse | undefined;
  done: boolean;
}

export class Call {
  readonly #services: CallServices;
  readonly #request: CallRequest;
  readonly #outlet: Outlet;
  readonly #choices: readonly Choice[];
  readonly #records: CallRecord[] = [];
  readonly #abort = new AbortController();
  #over = false;

  /** Throws GatewayError when the model can't do what was asked. */
  constructor(services: CallServices, request: CallRequest, outlet: Outlet) {
    const { conversation, targets } = request;
    this.#services = services;
    this.#request = request;
    this.#outlet = outlet;
    this.#choices = Array.from({ length: conversation.choices }, (_, index) => {
      const plan = services.planner.plan({ ...conversation, targets });
      return { index, plan, attempt: plan.first, record: undefined, begun: false, response: undefined, done: false };
    });
    const warnings = [...conversation.warnings, ...this.#first.attempt.adapted.warnings];
    if (warnings.length > 0) outlet.headers["x-gateway-warning"] = headerText(warnings.join("; "));
  }

  /** Signs the first attempt and opens its row: what Envoy is to forward. Undefined when the client has gone meanwhile. */
  async prepare(): Promise<SignedCall | undefined> {
    return this.#prepare(this.#first);
  }

  /** For the access log, before anything is known of the answer. */
  startMetadata(): Metadata {
    const { key, dialect, conversation } = this.#request;
    return {
      key_id: key.id,
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
    const requestMetadata = { ...adapted.request.requestMetadata, gateway_key_id: this.#request.key.id };
    return this.#services.calls.prepare({
      region: target.region,
      modelId: target.modelId,
      stream: adapted.stream,
      request: withoutParts({ ...adapted.request, requestMetadata }, lessons),
    });
  }

  async #open(choice: Choice): Promise<CallRecord> {
    const { id, key, dialect, conversation, startedAt } = this.#request;
    const { target, adapted } = choice.attempt;
    const further = this.#records.length;
    const record = await this.#services.recorder.open({
      id: further === 0 ? id : `${id}/${further + 1}`,
      ...(further === 0 ? {} : { callId: id }),
      key,
      dialect: dialect.name,
      modelRequested: conversation.model,
      modelInvoked: target.modelId,
      region: target.region,
      request: adapted.request,
      stream: conversation.stream,
      startedAt: further === 0 ? startedAt : this.#services.now(),
    });
    choice.record = record;
    this.#records.push(record);
    return record;
  }

  /** One attempt of our own, to its end. Never throws. */
  async #run(choice: Choice): Promise<void> {
    try {
      const signed = await this.#prepare(choice);
      if (signed === undefined) return;
      const answer = await this.#services.egress(signed, this.#abort.signal);
      const reader = this.#read(choice, answer);
      await this.#pump(choice, answer, reader);
    } catch (error) {
      if (!this.#over) await this.#failed(choice, error);
    }
  }

  async #pump(choice: Choice, { body }: IncomingAnswer, reader: AnswerReader): Promise<void> {
    try {
      for await (const chunk of body) {
        if (this.#over) return;
        await reader.push(chunk);
      }
    } catch (cause) {
      choice.record?.lost();
      throw new GatewayError("upstream_invalid_response", "Amazon Bedrock's answer broke off.", { cause });
    }
    if (!this.#over) await reader.end();
  }

  #read(choice: Choice, head: AnswerHead): AnswerReader {
    const { conversation } = this.#request;
    const { adapted } = choice.attempt;
    const { record } = choice;
    if (record === undefined) throw new Error("an answer without a row");
    record.answered(head.status, head.headers.get("x-amzn-requestid"));
    if (conversation.stream && head.status === 200) this.#outlet.keepAlive(KEEP_ALIVE);
    const render = adapted.stream
      ? chain(record.meter.stage, adapted.events(), conversation.events(choice.index), sse())
      : undefined;
    return createAnswerReader(head, render, {
      output: (bytes) => {
        choice.begun = true;
        this.#outlet.write(bytes);
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
    const render = chain(conversation.events(choice.index), sse());
    const pieces = synthesizeEvents(response).flatMap((event) => [...render.push(event)]);
    return Buffer.concat([...pieces, ...render.end()]);
  }

  async #completed(choice: Choice, record: CallRecord, last: Buffer): Promise<void> {
    await record.completed(200);
    if (this.#over) return;
    choice.done = true;
    if (!this.#choices.every(({ done }) => done)) {
      if (last.length > 0) this.#outlet.write(last);
      return;
    }
    this.#over = true;
    const { conversation } = this.#request;
    this.#nameAttempts();
    if (conversation.stream) {
      const closing = drain(chain({ push: (event) => [event], end: () => conversation.closing() }, sse()).end());
      this.#outlet.finish(Buffer.concat([last, closing.output]), this.#metadata());
    } else {
      const responses = this.#choices.flatMap(({ response }) => response ?? []);
      this.#outlet.whole(conversation.reply(responses), this.#metadata());
    }
  }

  /** Never throws. */
  async #failed(choice: Choice, cause: unknown): Promise<void> {
    if (this.#over || choice.done) return;
    const error = toGatewayError(cause);
    const next = choice.begun || this.#outlet.committed ? undefined : await choice.plan.next(error);
    if (this.#over) return;
    if (next !== undefined) {
      await choice.record?.failed(error, error.status);
      choice.attempt = next;
      // Not awaited: until it is done Envoy's events have to be heard, the client's leaving among them.
      if (!this.#over) void this.#run(choice);
      return;
    }
    if (error.kind.fault !== "client" && error.kind.fault !== "limit") this.#services.onFault(error, this.#request.id);
    const status = this.#outlet.committed ? 200 : error.status;
    const committed = this.#outlet.committed;
    await this.#end((record) => (record === choice.record ? record.failed(error, status) : record.interrupted(status)));
    this.#nameAttempts();
    const metadata = { ...this.#metadata(), error: error.code };
    if (!committed) return this.#outlet.respond(errorAnswer(error, this.#request.dialect), metadata);
    this.#outlet.finish(Buffer.concat([...this.#request.dialect.errorEvents(error)].map(encodeEvent)), metadata);
  }

  async #end(close: (record: CallRecord) => Promise<void>): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#abort.abort();
    await Promise.all(this.#records.map(close));
  }

  #nameAttempts(): void {
    if (this.#outlet.committed) return;
    const { target } = this.#first.attempt;
    if (this.#records.length > this.#choices.length)
      this.#outlet.headers["x-gateway-attempts"] = String(this.#records.length);
    if (target.modelId !== this.#request.conversation.model)
      this.#outlet.headers["x-gateway-model"] = headerText(target.modelId);
  }

  /** For the access log: what the call used with all its attempts. */
  #metadata(): Metadata {
    const all = this.#records.map((record) => record.metadata());
    const sum = (name: string) => all.reduce((total, metadata) => total + Number(metadata[name] ?? 0), 0);
    const { target } = this.#first.attempt;
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
      first_token_ms: all.at(-1)?.first_token_ms,
      duration_ms: this.#services.now() - this.#request.startedAt,
    };
  }
}

const NO_BYTES = Buffer.alloc(0);

/** Header values are visible ASCII. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 1_000);
}
