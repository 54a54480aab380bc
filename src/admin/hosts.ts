/**
 * Which names the admin port answers to, so that a web page can't reach it by a name of its own that it points at
 * loopback (DNS rebinding): addresses, localhost, and what the operator listed.
 */
import { isIP } from "node:net";

export interface HostRules {
  /** In lower case, without ports. */
  readonly names: readonly string[];
  /** Also names without a dot, by which containers know each other; nobody outside can own one. */
  readonly services?: boolean;
}

/** `header` is the request's Host. */
export function isAllowedHost(header: string | undefined, { names, services = false }: HostRules): boolean {
  const [, name] = /^(\[[0-9a-f:.]{2,45}\]|[^:[\]]{1,253})(?::\d{1,5})?$/i.exec(header ?? "") ?? [];
  if (name === undefined) return false;
  const host = name.toLowerCase();
  if (isIP(host.replace(/^\[|\]$/g, "")) !== 0) return true;
  if (host === "localhost" || host.endsWith(".localhost") || names.includes(host)) return true;
  return services && /^[a-z0-9_-]+$/.test(host);
}
