/**
 * Which network addresses the gateway may connect to for a client: those on the public Internet, and no others.
 *
 * An allow-list: an address has to be global unicast by IANA's special-purpose registries
 * (https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry). IPv6 that carries an IPv4
 * address (mapped, compatible, 6to4, Teredo, local NAT64) is refused. The well-known NAT64 prefix is judged by the
 * IPv4 address in it, because DNS64 gives nothing else in a network without IPv4.
 *
 * What it can't know: hosts of a private network that have public addresses, such as IPv6 in a VPC. Only those in the
 * machine's own subnets are refused; for the rest there are the operator's list of hosts and the network's own rules.
 */
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import ipaddr from "ipaddr.js";

/** Public by number, and a cloud's metadata service all the same: Azure's wire server. */
const NOT_PUBLIC_AFTER_ALL: ReadonlySet<string> = new Set(["168.63.129.16"]);

const NAT64_PREFIX = ipaddr.IPv6.parseCIDR("64:ff9b::/96");
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3");

/** True for the address of a public host that is not in one of this machine's own networks. */
export function isPublicAddress(address: string): boolean {
  // ipaddr.js also reads `0x7f.1`; a resolver that says so is not to be trusted.
  return isIP(address) !== 0 && isGlobal(ipaddr.parse(address)) && !isOwnNetwork(address);
}

function isGlobal(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address instanceof ipaddr.IPv4) {
    return address.range() === "unicast" && !NOT_PUBLIC_AFTER_ALL.has(address.toString());
  }
  if (address.match(NAT64_PREFIX)) return isGlobal(new ipaddr.IPv4(address.toByteArray().slice(12)));
  return address.range() === "unicast" && address.match(GLOBAL_UNICAST);
}

function isOwnNetwork(text: string): boolean {
  const address = ipaddr.parse(text);
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .some(({ cidr }) => {
      if (cidr === null) return false;
      const [network, bits] = ipaddr.parseCIDR(cidr);
      return network.kind() === address.kind() && address.match(network, bits);
    });
}
