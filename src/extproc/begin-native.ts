/** From a body in Bedrock's own API to the call that is forwarded. The body is looked at, and not changed. */
import { readNativeBody } from "../bedrock/native-body.ts";
import type { Targets } from "../models/targets.ts";
import { type Admitted, assertModel, assertReadable, type Begun } from "./admitted.ts";
import { NativeCall, type NativeCallServices } from "./native-call.ts";
import type { Route } from "./routes.ts";

export interface NativeServices extends NativeCallServices {
  readonly targets: Targets;
  readonly buckets: readonly string[];
}

export async function beginNative(
  services: NativeServices,
  admitted: Admitted,
  { operation, model }: Extract<Route, { kind: "native" }>,
  body: Buffer,
): Promise<Begun> {
  const { now, targets, buckets } = services;
  const startedAt = now();
  assertModel(admitted, targets, model);
  const read = readNativeBody(body);
  assertReadable(
    read.storedObjects.map((uri) => ({ uri, param: "s3Location" })),
    buckets,
  );
  const [target] = await targets.resolve(model);
  if (target === undefined) throw new Error("a model without a target");
  const { id, caller, admission, trace, headers, outlet } = admitted;
  const request = { id, caller, admission, trace, operation, model, target, headers, body, read, startedAt };
  return { kind: "forward", call: new NativeCall(services, request, outlet) };
}
