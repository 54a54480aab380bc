/** Logging in with a browser, and out again. */
import { type AdminApp, type Gate, LOG_IN_PATH } from "./gate.ts";
import { BODY_REFUSALS, failure, ok, operation, takes } from "./openapi.ts";
import { logIn, sessionJson } from "./schemas.ts";

export function mountSession(app: AdminApp, gate: Gate): void {
  app.post(
    LOG_IN_PATH,
    operation({
      tag: "session",
      summary: "Log in with the admin token",
      description:
        "The answer sets a cookie: for 12 hours from its last use, at most 7 days, until the gateway restarts.",
      open: true,
      answers: {
        204: { description: "Logged in" },
        400: failure("No token was sent"),
        401: failure("The token is wrong"),
        403: failure("Asked by another site"),
        ...BODY_REFUSALS,
        429: failure("Too many wrong tokens; Retry-After says when to try again"),
        503: failure("ADMIN_TOKEN is not set"),
      },
    }),
    takes("json", logIn),
    async (context) => {
      await gate.logIn(context, context.req.valid("json").token);
      return context.body(null, 204);
    },
  );

  app.get(
    LOG_IN_PATH,
    operation({
      tag: "session",
      summary: "Whether this client is logged in",
      answers: { 200: ok("It is", sessionJson) },
    }),
    (context) => {
      const { expiresAt } = context.get("session");
      return context.json({
        authenticated: true,
        expires_at: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
      });
    },
  );

  app.delete(
    LOG_IN_PATH,
    operation({ tag: "session", summary: "Log out", answers: { 204: { description: "Logged out" } } }),
    (context) => {
      gate.logOut(context);
      return context.body(null, 204);
    },
  );
}
