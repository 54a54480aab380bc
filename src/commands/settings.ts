/**
 * What a long-running command needs to know before it starts: the environment and the operator's file.
 */
import { type Config, type Environment, readConfig } from "../config.ts";
import { type OperatorConfig, readOperatorConfig } from "../operator-config.ts";

export interface Settings {
  readonly config: Config;
  readonly operator: OperatorConfig;
}

/** Throws ConfigError. */
export async function readSettings(environment: Environment): Promise<Settings> {
  const config = await readConfig(environment);
  const operator = await readOperatorConfig(environment.GATEWAY_CONFIG?.trim() || undefined, config.aws.region);
  return { config, operator };
}
