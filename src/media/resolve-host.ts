/**
 * The addresses of a host, asked from DNS alone: no hosts file and no search domains, which hold the names of a private
 * network, and no thread of Node's pool that a slow name server could keep.
 */
import { Resolver } from "node:dns/promises";

const QUERY_TIMEOUT_MS = 2_000;
const TRIES = 2;

/**
 * All IPv4 and IPv6 addresses, at least one. Rejects with the DNS error. `servers` as in Resolver.setServers; the
 * system's by default.
 */
export async function resolveHost(
  host: string,
  signal: AbortSignal,
  servers?: readonly string[],
): Promise<readonly string[]> {
  signal.throwIfAborted();
  const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: TRIES });
  if (servers !== undefined) resolver.setServers(servers);
  const cancel = () => resolver.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const [v4, v6] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = [v4, v6].flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (addresses.length === 0 && v4.status === "rejected") throw v4.reason;
    return addresses;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}
