/**
 * Teams: what several keys may use together.
 *
 * A team exists by being named in a key; limits and a note are given to it by `set` and taken by `remove`, before or after
 * that.
 */
import type { Change, Store, Team, TeamSettings } from "../store/store.ts";
import { assertNone, KeyNotFoundError, teamProblems } from "./key-settings.ts";

export interface TeamsOptions {
  /** Unix milliseconds. */
  readonly now: () => number;
  /** Who makes the changes, for the audit: `cli:alice`, `admin`. */
  readonly by: string;
}

export interface TeamOverview {
  readonly name: string;
  /** Null: it has neither limits nor a note. */
  readonly settings: Team | null;
  /** Its keys that are not revoked. */
  readonly keys: number;
}

export interface Teams {
  /** By name. */
  list(): Promise<TeamOverview[]>;
  /** Throws KeyNotFoundError for a team that has neither keys nor settings. */
  show(name: string): Promise<TeamOverview>;
  /** Throws KeyInputError for settings that make no sense. What is not given stays as it is. */
  set(name: string, changes: Partial<TeamSettings>): Promise<TeamOverview>;
  /** Ends its limits and its note; its keys stay. Throws KeyNotFoundError when it had none. */
  remove(name: string): Promise<void>;
}

export function createTeams(store: Pick<Store, "keys" | "teams">, { now, by }: TeamsOptions): Teams {
  const change = (): Change => ({ at: now(), by });

  async function show(name: string): Promise<TeamOverview> {
    assertFindable(name);
    const [settings, keys] = await Promise.all([store.teams.get(name), store.keys.list()]);
    const named = keys.filter((key) => key.team === name);
    if (settings === undefined && named.length === 0) throw unknown(name);
    return { name, settings: settings ?? null, keys: named.filter(({ revokedAt }) => revokedAt === null).length };
  }

  return {
    async list() {
      const [teams, keys] = await Promise.all([store.teams.list(), store.keys.list()]);
      const settings = new Map(teams.map((team) => [team.name, team]));
      const counts = new Map(teams.map(({ name }) => [name, 0]));
      for (const { team, revokedAt } of keys) {
        if (team !== null) counts.set(team, (counts.get(team) ?? 0) + (revokedAt === null ? 1 : 0));
      }
      return [...counts]
        .map(([name, count]) => ({ name, settings: settings.get(name) ?? null, keys: count }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    show,
    async set(name, changes) {
      assertNone(teamProblems(name, changes));
      const { budget = null, softBudget = null } = (await store.teams.get(name)) ?? {};
      assertNone(teamProblems(name, { budget, softBudget, ...changes }));
      await store.teams.set(name, changes, change());
      return show(name);
    },
    async remove(name) {
      assertFindable(name);
      if (!(await store.teams.remove(name, change()))) throw unknown(name);
    },
  };
}

/** No team has it in its name, and PostgreSQL refuses to look for it. */
function assertFindable(name: string): void {
  if (name.includes("\0")) throw unknown(name);
}

function unknown(name: string): KeyNotFoundError {
  return new KeyNotFoundError(
    `There is no team ${JSON.stringify(name)} with limits or keys. \`teams list\` shows them all.`,
  );
}
