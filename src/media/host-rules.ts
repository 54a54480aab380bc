/**
 * The operator's list of hosts that images may come from: `images.example.com`, `*.example.com`, `host:8443`.
 *
 * `*.` in front stands for one or more labels, `*` elsewhere for a part of one label. A rule without a port means the
 * usual ones, 80 and 443.
 */
import { matchesGlob } from "../glob.ts";

export interface HostRule {
  /** `host` as URL.hostname has it, without a dot at its end. */
  allows(host: string, port: number): boolean;
}

const USUAL_PORTS: ReadonlySet<number> = new Set([80, 443]);
const EXPECTED = 'must be a host such as "images.example.com", "*.example.com" or "images.example.com:8443"';

/** Any host, on the usual ports. */
export const ANY_HOST: HostRule = { allows: (_host, port) => USUAL_PORTS.has(port) };

/** Throws an Error whose message continues "images.fetch.allow[0] …". */
export function parseHostRule(text: string): HostRule {
  const [, written, portText] = /^(\[[0-9a-f:.]+\]|[^:/?#@\\\s[\]]+)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const port = portText === undefined ? undefined : Number(portText);
  if (written === undefined || !URL.canParse(`http://${written}`) || port === 0 || (port ?? 0) > 65_535) {
    throw new Error(`${EXPECTED}, got ${JSON.stringify(text)}`);
  }
  const host = hostOf(new URL(`http://${written}`));
  if (host === "" || /^[*.]*$/.test(host) || /xn--[^.]*\*/.test(host)) {
    throw new Error(`${EXPECTED}, got ${JSON.stringify(text)}; an empty list allows every public host`);
  }
  const pattern = host.split(".");
  return {
    allows: (candidate, at) =>
      hostMatches(pattern, candidate.split(".")) && (port === undefined ? USUAL_PORTS.has(at) : at === port),
  };
}

/** The host of a URL as rules and resolvers take it: `example.com.` is `example.com`. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/\.+$/, "");
}

export function portOf(url: URL): number {
  return url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
}

/** Label by label from the right: what is left over must be what a `*.` in front stands for. */
function hostMatches(pattern: readonly string[], labels: readonly string[]): boolean {
  const [first, ...fixed] = pattern;
  const extra = labels.length - pattern.length;
  if (first !== "*") return extra === 0 && pattern.every((glob, index) => matchesGlob(glob, labels[index] ?? ""));
  if (extra < 0 || labels.includes("")) return false;
  return fixed.every((glob, index) => matchesGlob(glob, labels[extra + 1 + index] ?? ""));
}
