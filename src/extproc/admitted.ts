/**
 * A request that was let in: what those need who begin its work once the body is there, and what they begin.
 */
import { assertModelAllowed } from "../access/allowed-models.ts";
import type { Caller } from "../access/authenticate.ts";
import type { Admission } from "../access/limits.ts";
import type { StoredObject } from "../dialects/dialect.ts";
import { GatewayError } from "../errors.ts";
import { matchesGlob } from "../glob.ts";
import { assertModelId } from "../models/model-id.ts";
import type { Targets } from "../models/targets.ts";
import type { ObserveCall } from "../usage/call-record.ts";
import type { Answer } from "./answers.ts";
import type { Forwarding } from "./forwarding.ts";
import type { Outlet } from "./outlet.ts";
import type { Headers } from "./wire.ts";

export interface Admitted {
  readonly id: string;
  readonly headers: Headers;
  readonly caller: Caller;
  readonly admission: Admission;
  readonly trace: ObserveCall;
  readonly outlet: Outlet;
  /** The client has left meanwhile. */
  readonly gone: () => boolean;
  /** What is done now takes longer than Envoy waits by itself. At most once. */
  readonly wait: (seconds: number) => void;
}

/** What a request comes to: something to forward, calls of our own, or an answer. Undefined: the client has gone. */
export type Begun =
  | { readonly kind: "forward"; readonly call: Forwarding }
  | { readonly kind: "run"; readonly call: OwnCalls }
  | { readonly kind: "answer"; readonly answer: Answer }
  | undefined;

/** Work that goes out through the egress listener alone, and answers through the outlet. */
export interface OwnCalls {
  /** Throws GatewayError. */
  run(): Promise<void>;
  /** The client went away. */
  interrupted(): Promise<void>;
}

/** Throws GatewayError for what can be no model, and for one that the key may not use. */
export function assertModel({ caller }: Pick<Admitted, "caller">, targets: Targets, model: string): void {
  assertModelId(model);
  assertModelAllowed(caller.key, model, targets.aliases.get(model));
}

/** Bedrock would read any object that the gateway's own role may read. */
export function assertReadable(storedObjects: readonly StoredObject[], buckets: readonly string[]): void {
  for (const { uri, param } of storedObjects) {
    const bucket = uri.slice("s3://".length).split("/", 1)[0] ?? "";
    if (buckets.some((pattern) => matchesGlob(pattern, bucket))) continue;
    throw new GatewayError(
      "invalid_request",
      `${param} must not name the bucket ${JSON.stringify(bucket)}: the gateway's operator has to allow it (s3.buckets). Send the data itself instead.`,
      { param },
    );
  }
}
