/**
 * What the gateway is measured against, made from envoy/envoy.yaml itself: the same listener, limits, access log and
 * clusters, without the service.
 */
import { parse, stringify } from "yaml";

interface Config {
  static_resources: { listeners: { name: string; filter_chains: { filters: { typed_config: Manager }[] }[] }[] };
}

interface Manager {
  http_filters: { name: string }[];
  route_config: { virtual_hosts: { routes: Route[]; typed_per_filter_config?: object }[] };
}

interface Route {
  readonly name: string;
  readonly match: object;
}

const EXT_PROC = "envoy.filters.http.ext_proc";

/** Envoy alone: requests go to their `host`, without TLS, as the gateway's do. */
export function bareEnvoyConfig(rendered: string): string {
  return edit(rendered, (manager) => {
    manager.http_filters = manager.http_filters.filter(({ name }) => name !== EXT_PROC);
    for (const host of manager.route_config.virtual_hosts) delete host.typed_per_filter_config;
  });
}

/** With ext_proc as the gateway has it, for a service that sets no metadata. */
export function echoEnvoyConfig(rendered: string): string {
  return edit(rendered, () => {});
}

function edit(rendered: string, change: (manager: Manager) => void): string {
  const config: Config = parse(rendered, { merge: true });
  const clients = config.static_resources.listeners.find(({ name }) => name === "clients");
  const manager = clients?.filter_chains[0]?.filters[0]?.typed_config;
  if (manager === undefined) throw new Error("envoy/envoy.yaml has no listener `clients`");
  for (const host of manager.route_config.virtual_hosts) {
    const plaintext = host.routes.find(({ name }) => name === "bedrock_plaintext");
    if (plaintext === undefined) throw new Error("envoy/envoy.yaml has no route `bedrock_plaintext`");
    host.routes = [{ ...plaintext, match: { prefix: "/" } }];
  }
  change(manager);
  return stringify(config, { aliasDuplicateObjects: false });
}
