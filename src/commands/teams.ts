/** `teams`: what the keys of a team may use together. A key joins a team by `keys create --team` or `keys update --team`. */
import type { Command } from "commander";
import { teamJson } from "../access/key-json.ts";
import { spentOf } from "../access/spent.ts";
import { createTeams, type TeamOverview, type Teams } from "../access/teams.ts";
import { formatUsd } from "../money.ts";
import type { Store } from "../store/store.ts";
import { actor, type CommandIo, createCommand, printJson, withStore } from "./command.ts";
import { changesFromOptions, limitOptions, NONE, type SettingText } from "./key-options.ts";
import { renderLines, spentLines, teamLines, teamTable } from "./key-output.ts";

interface JsonOption {
  readonly json?: boolean;
}

const JSON_OBJECT = ["--json", "print a JSON object"] as const;

export function teamsCommand(io: CommandIo): Command {
  const command = createCommand("teams", io).description("Manage what teams may use together");

  command
    .command("list")
    .description("Show all teams: those of keys, and those with limits")
    .option("--json", "print a JSON array")
    .action((options: JsonOption) => withTeams(io, async (teams) => showList(io, await teams.list(), options)));

  command
    .command("show")
    .description("Show one team, and what it has spent of its budget")
    .argument("<name>", "the team's name")
    .option(...JSON_OBJECT)
    .action((name: string, options: JsonOption) =>
      withTeams(io, async (teams, store) => showTeam(io, await teams.show(name), store, options)),
    );

  limitOptions(command.command("set").description(`Give a team limits, or change them; ${NONE} clears one`))
    .argument("<name>", "the team's name")
    .option(...JSON_OBJECT)
    .addHelpText(
      "after",
      "\nExample:\n  npm run -s teams -- set search --rpm 600 --budget 1000 --budget-period month\n",
    )
    .action((name: string, options: SettingText & JsonOption) =>
      withTeams(io, async (teams, store) => {
        await showTeam(io, await teams.set(name, changesFromOptions(options, Date.now())), store, options);
      }),
    );

  command
    .command("remove")
    .description("End a team's limits; its keys stay in it")
    .argument("<name>", "the team's name")
    .option(...JSON_OBJECT)
    .action((name: string, { json }: JsonOption) =>
      withTeams(io, async (teams) => {
        await teams.remove(name);
        if (json) printJson(io, { name, removed: true });
        else io.stderr.write(`The team ${JSON.stringify(name)} has no limits any more.\n`);
      }),
    );

  return command;
}

async function withTeams(io: CommandIo, work: (teams: Teams, store: Store) => Promise<void>): Promise<void> {
  await withStore(io, (store) => work(createTeams(store, { now: Date.now, by: actor() }), store));
}

async function showTeam(io: CommandIo, team: TeamOverview, store: Store, { json }: JsonOption): Promise<void> {
  const { name, settings } = team;
  const spent = settings === null ? null : await spentOf(store.calls, `team:${name}`, settings, Date.now());
  if (json) printJson(io, { ...teamJson(team), spent_usd: spent === null ? null : formatUsd(spent) });
  else io.stdout.write(renderLines([...teamLines(team), ...spentLines(spent)]));
}

function showList(io: CommandIo, teams: readonly TeamOverview[], { json }: JsonOption): void {
  if (json) printJson(io, teams.map(teamJson));
  else if (teams.length === 0) io.stderr.write("No teams yet: `keys create --team` and `teams set` make one.\n");
  else io.stdout.write(teamTable(teams));
}
