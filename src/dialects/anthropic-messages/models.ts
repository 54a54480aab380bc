/**
 * The list of models in Anthropic's shape, for clients that send `anthropic-version`:
 * https://docs.anthropic.com/en/api/models-list.
 *
 * Bedrock says neither what a model is called in print nor how long its context is: the name is the id, the rest is null.
 */
import { GatewayError } from "../../errors.ts";
import type { ListedModel, Listing } from "../dialect.ts";

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 1_000;

export const listing: Listing = {
  asked: (header) => header("anthropic-version") !== undefined,
  list: modelPage,
  model: modelInfo,
};

function modelPage(models: readonly ListedModel[], query: URLSearchParams) {
  const limit = readLimit(query.get("limit"));
  const after = query.get("after_id");
  const before = query.get("before_id");
  const position = (id: string) => {
    const index = models.findIndex((model) => model.id === id);
    return index === -1 ? models.length : index;
  };
  const start = after !== null ? position(after) + 1 : before === null ? 0 : Math.max(position(before) - limit, 0);
  const end = after === null && before !== null ? position(before) : models.length;
  const page = models.slice(start, Math.min(start + limit, end)).map(modelInfo);
  return {
    data: page,
    has_more: before !== null && after === null ? start > 0 : start + page.length < models.length,
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
  };
}

function readLimit(text: string | null): number {
  if (text === null || text === "") return DEFAULT_LIMIT;
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new GatewayError("invalid_request", `limit must be an integer from 1 to ${MAX_LIMIT}.`, { param: "limit" });
}

function modelInfo({ id, created }: ListedModel) {
  return {
    type: "model",
    id,
    display_name: id,
    created_at: new Date(created * 1000).toISOString().replace(".000Z", "Z"),
    capabilities: null,
    deprecated_at: null,
    lifecycle: "active",
    line: null,
    max_input_tokens: null,
    max_tokens: null,
    retires_at: null,
  };
}
