/**
 * Where a region's Bedrock is: the hosts of the runtime and of the control plane, or the endpoint that the operator gave.
 *
 * https://docs.aws.amazon.com/general/latest/gr/bedrock.html. FIPS and dual-stack hosts follow the AWS SDKs' switches
 * AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT.
 */

export interface Endpoint {
  /** What the Host header and the signature say: with the port unless it is the scheme's own. */
  readonly authority: string;
  readonly tls: boolean;
  /** Path in front of every request's own, without a slash at its end; mostly empty. */
  readonly basePath: string;
}

export type BedrockPlane = "bedrock-runtime" | "bedrock";

export interface EndpointOptions {
  readonly fips: boolean;
  readonly dualStack: boolean;
}

interface Partition {
  readonly regions: RegExp;
  readonly dnsSuffix: string;
  readonly dualStackSuffix: string;
}

const PARTITIONS: readonly Partition[] = [
  { regions: /^cn-/, dnsSuffix: "amazonaws.com.cn", dualStackSuffix: "api.amazonwebservices.com.cn" },
  { regions: /^eusc-/, dnsSuffix: "amazonaws.eu", dualStackSuffix: "api.amazonwebservices.eu" },
  { regions: /^us-iso-/, dnsSuffix: "c2s.ic.gov", dualStackSuffix: "api.aws.ic.gov" },
  { regions: /^us-isob-/, dnsSuffix: "sc2s.sgov.gov", dualStackSuffix: "api.aws.scloud" },
  { regions: /^eu-isoe-/, dnsSuffix: "cloud.adc-e.uk", dualStackSuffix: "api.cloud-aws.adc-e.uk" },
  { regions: /^us-isof-/, dnsSuffix: "csp.hci.ic.gov", dualStackSuffix: "api.aws.hci.ic.gov" },
  { regions: /^/, dnsSuffix: "amazonaws.com", dualStackSuffix: "api.aws" },
];

/** A region's name: what may become part of a host name. */
export const REGION = /^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$/;

export function regionalEndpoint(plane: BedrockPlane, region: string, options: EndpointOptions): Endpoint {
  const partition = PARTITIONS.find((candidate) => candidate.regions.test(region));
  const suffix = options.dualStack ? partition?.dualStackSuffix : partition?.dnsSuffix;
  return { authority: `${plane}${options.fips ? "-fips" : ""}.${region}.${suffix}`, tls: true, basePath: "" };
}

/** Reads an endpoint URL such as AWS_ENDPOINT_URL_BEDROCK_RUNTIME. Throws an Error that names what is wrong with it. */
export function parseEndpoint(text: string): Endpoint {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new Error(`must be an http or https URL, got ${JSON.stringify(text)}`);
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new Error("must hold a host, a port and a path only");
  }
  return { authority: url.host, tls: url.protocol === "https:", basePath: url.pathname.replace(/\/+$/, "") };
}
