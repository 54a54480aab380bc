/** From a body that asks for embeddings to the calls that make them. */
import type { EmbeddingsDialect } from "../dialects/embeddings-dialect.ts";
import { planEmbeddings } from "../models/embeddings.ts";
import type { Targets } from "../models/targets.ts";
import { type Admitted, assertModel, type Begun } from "./admitted.ts";
import { EmbeddingsCall, type EmbeddingsServices } from "./embeddings-call.ts";
import { parseBody } from "./json-body.ts";

/** 2,048 inputs are as many calls for some models. Below Envoy's max_message_timeout. */
const RUN_SECONDS = 110;

export async function beginEmbeddings(
  services: EmbeddingsServices & { readonly targets: Targets },
  admitted: Admitted,
  dialect: EmbeddingsDialect,
  body: Buffer,
): Promise<Begun> {
  const { targets } = services;
  const decoded = dialect.decode(parseBody(body));
  assertModel(admitted, targets, decoded.model);
  const [target] = await targets.resolve(decoded.model);
  if (target === undefined) throw new Error("a model without a target");
  const batches = planEmbeddings(decoded.request, target.foundationModel ?? target.modelId);
  if (admitted.gone()) return undefined;
  admitted.wait(RUN_SECONDS);
  const { id, caller, admission, trace, outlet } = admitted;
  const request = { id, caller, admission, trace, dialect, decoded, target, batches };
  return { kind: "run", call: new EmbeddingsCall(services, request, outlet) };
}
