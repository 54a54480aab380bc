/**
 * How a route says what it takes and what it answers: checked when it is called, and listed in /openapi.json (OpenAPI 3.1).
 */
import type { MiddlewareHandler } from "hono";
import { describeRoute, openAPIRouteHandler, resolver, validator } from "hono-openapi";
import type { GenericSchema } from "valibot";
import { AdminError } from "./errors.ts";
import { type AdminApp, SESSION_COOKIE } from "./gate.ts";
import { errorJson } from "./schemas.ts";

export interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly tag: "session" | "keys" | "teams" | "usage" | "operation";
  /** By status; the ones that every route can give are added. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** Needs no token. */
  readonly open?: boolean;
  /** Takes a body that is no JSON. */
  readonly body?: { readonly media: string; readonly description: string };
}

export interface Answer {
  readonly description: string;
  /** By media type; text where there is no schema. */
  readonly content?: Readonly<Record<string, GenericSchema | undefined>>;
}

const REFUSALS: Readonly<Record<number, string>> = {
  401: "The admin token or the session is missing, wrong or has ended",
  403: "Asked under a host name that is not the gateway's, or by another site",
  429: "Too many wrong tokens, or too many reports at once; Retry-After says when to try again",
  500: "The gateway failed; its log says why",
  503: "ADMIN_TOKEN is not set, or the database can't be reached",
};
const WHOLE = { json: "The body", query: "The query" } as const;
const MAX_MESSAGE = 300;

export function operation({ summary, description, tag, answers, open = false, body }: Operation): MiddlewareHandler {
  const refusals = Object.entries(open ? {} : REFUSALS).map(([status, text]) => [status, failure(text)] as const);
  return describeRoute({
    summary,
    ...(description !== undefined && { description }),
    tags: [tag],
    ...(open && { security: [] }),
    ...(body !== undefined && {
      requestBody: {
        required: true,
        description: body.description,
        content: { [body.media]: { schema: { type: "string" as const } } },
      },
    }),
    responses: Object.fromEntries(
      [...refusals, ...Object.entries(answers)].map(([status, answer]) => [status, response(answer)]),
    ),
  });
}

export function ok(description: string, schema: GenericSchema): Answer {
  return { description, content: { "application/json": schema } };
}

/** An error. */
export function failure(description: string): Answer {
  return ok(description, errorJson);
}

/** What every route that takes a body can answer. */
export const BODY_REFUSALS: Readonly<Record<number, Answer>> = {
  413: failure("The body is larger than 1 MiB"),
  415: failure("The body has another content type"),
};

/** Checks the body or the parameters; what is wrong with them is a 400 that names the first field at fault. */
export function takes<Target extends "json" | "query", Schema extends GenericSchema>(target: Target, schema: Schema) {
  return validator(
    target,
    schema,
    (result) => {
      // To valibot a list is an object too.
      if (Array.isArray(result.data)) throw new AdminError(400, `${WHOLE[target]} must be a JSON object.`);
      if (result.success) return;
      const [issue] = result.error;
      const field = issue?.path?.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
      const message = `${field ?? WHOLE[target]} ${issue?.message ?? "is not valid"}`;
      throw new AdminError(400, `${message.slice(0, MAX_MESSAGE)}.`, { field: field?.slice(0, MAX_MESSAGE) });
    },
    { options: { typeMode: "input" } },
  );
}

export function serveDocument(app: AdminApp, version: string): void {
  const handler = openAPIRouteHandler(app, {
    documentation: {
      openapi: "3.1.0",
      info: {
        title: "Bedrock Gateway: admin API",
        version,
        description:
          "Keys, teams, budgets and usage. Times are ISO 8601 in UTC, money is a decimal string in USD. " +
          "What is asked with a session's cookie and changes something must come from the gateway's own page.",
      },
      security: [{ token: [] }, { session: [] }],
      components: {
        securitySchemes: {
          token: { type: "http", scheme: "bearer", description: "ADMIN_TOKEN" },
          session: { type: "apiKey", in: "cookie", name: SESSION_COOKIE },
        },
      },
    },
    defaultValidationErrorResponse: false,
    excludeStaticFile: false,
  });
  app.get("/openapi.json", handler);
}

function response({ description, content }: Answer) {
  if (content === undefined) return { description };
  const media = Object.entries(content).map(([type, schema]) => [
    type,
    { schema: schema === undefined ? { type: "string" as const } : resolver(schema) },
  ]);
  return { description, content: Object.fromEntries(media) };
}
