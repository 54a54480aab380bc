/** Teams: what the keys of a team may use together. */
import { teamJson, teamSettingsFrom } from "../access/key-json.ts";
import { spentOf } from "../access/spent.ts";
import type { Teams } from "../access/teams.ts";
import { formatUsd } from "../money.ts";
import type { CallStore } from "../store/store.ts";
import type { AdminApp } from "./gate.ts";
import { BODY_REFUSALS, failure, ok, operation, takes } from "./openapi.ts";
import * as schemas from "./schemas.ts";

export interface TeamsRoutesOptions {
  readonly teams: Teams;
  readonly calls: Pick<CallStore, "budgets">;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export function mountTeams(app: AdminApp, { teams, calls, now }: TeamsRoutesOptions): void {
  const one = ok("The team", schemas.teamJson);
  const missing = failure("There is no such team");

  app.get(
    "/api/teams",
    operation({
      tag: "teams",
      summary: "List teams by name",
      description: "A team is there when a key names it, or when it has been given limits or a note.",
      answers: { 200: ok("Teams", schemas.teamsJson), 400: failure("There are no parameters") },
    }),
    takes("query", schemas.noParameters),
    async (context) => context.json((await teams.list()).map(teamJson)),
  );

  app.get(
    "/api/teams/:name",
    operation({
      tag: "teams",
      summary: "Show a team, and what it has spent of its budget",
      answers: { 200: ok("The team", schemas.teamWithSpentJson), 404: missing },
    }),
    async (context) => {
      const team = await teams.show(context.req.param("name"));
      const spent = team.settings && (await spentOf(calls, `team:${team.name}`, team.settings, now()));
      return context.json({ ...teamJson(team), spent_usd: spent === null ? null : formatUsd(spent) });
    },
  );

  app.put(
    "/api/teams/:name",
    operation({
      tag: "teams",
      summary: "Give a team limits or a note",
      description: "What is not given stays as it is; null takes a limit away.",
      answers: { 200: one, 400: failure("A setting is wrong; `field` names it"), ...BODY_REFUSALS },
    }),
    takes("json", schemas.teamChanges),
    async (context) => {
      const changes = teamSettingsFrom(context.req.valid("json"));
      return context.json(teamJson(await teams.set(context.req.param("name"), changes)));
    },
  );

  app.delete(
    "/api/teams/:name",
    operation({
      tag: "teams",
      summary: "Take a team's limits and its note away; its keys stay",
      answers: { 204: { description: "It has none any more" }, 404: failure("It had none") },
    }),
    async (context) => {
      await teams.remove(context.req.param("name"));
      return context.body(null, 204);
    },
  );
}
