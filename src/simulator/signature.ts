/**
 * Checks AWS Signature Version 4 the way the service does, from the bytes that arrived.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. Bedrock's canonical path
 * encodes every segment of the path as received once more (only S3 does not). Written on node:crypto alone, so that the
 * gateway's signer and this check can't share a mistake. Left out: presigned URLs, SigV4A, chunked payload signatures.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { Refusal } from "./failure.ts";

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Milliseconds since the epoch; afterwards the session token is refused as expired. */
  readonly expiresAt?: number;
}

export interface SignedRequest {
  readonly method: string;
  /** Path and query exactly as on the request line. */
  readonly target: string;
  /** Names and values in turn, as node:http gives them in `rawHeaders`. */
  readonly rawHeaders: readonly string[];
  readonly body: Uint8Array;
}

export interface SignatureRules {
  readonly credentials: readonly Credentials[];
  readonly regions: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

interface Authorization {
  readonly accessKeyId: string;
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly terminator: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

const ALGORITHM = "AWS4-HMAC-SHA256";
const SERVICE = "bedrock";
const MAX_SKEW_MS = 5 * 60_000;
const AMZ_DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
const signingKeys = new Map<string, Buffer>();

/** Returns the region that the request was signed for; throws a Refusal as AWS words it. */
export function verifySignature(request: SignedRequest, rules: SignatureRules): string {
  const headers = headerValues(request.rawHeaders);
  const authorization = parseAuthorization(headers.get("authorization"));
  const credentials = rules.credentials.find((one) => one.accessKeyId === authorization.accessKeyId);
  if (credentials === undefined) throw unrecognized();
  checkSessionToken(credentials, headers, rules.now);
  checkScope(authorization, rules.regions);
  const amzDate = checkDate(headers.get("x-amz-date"), authorization, rules.now);
  checkSignedHeaders(authorization.signedHeaders, headers);

  const payloadHash = hash(request.body);
  const claimedHash = headers.get("x-amz-content-sha256");
  if (claimedHash !== undefined && claimedHash !== payloadHash)
    throw invalid(
      `x-amz-content-sha256 is ${claimedHash}, but the SHA-256 of the body that arrived is ${payloadHash}.`,
    );
  const canonical = canonicalRequest(request, authorization.signedHeaders, payloadHash);
  const toSign = stringToSign(canonical, amzDate, authorization);
  const expected = createHmac("sha256", signingKey(credentials.secretAccessKey, authorization)).update(toSign).digest();
  const given = Buffer.from(authorization.signature, "hex");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw mismatch(canonical, toSign);
  return authorization.region;
}

/** The canonical request of `request` for these signed headers; exported for the vectors. */
export function canonicalRequest(
  request: SignedRequest,
  signedHeaders: readonly string[],
  payloadHash: string,
): string {
  const [path = "", query = ""] = splitTarget(request.target);
  const headers = headerValues(request.rawHeaders);
  const lines = signedHeaders.map((name) => `${name}:${headers.get(name) ?? ""}\n`).join("");
  const canonicalPath = path.split("/").map(uriEncode).join("/");
  return [request.method, canonicalPath, canonicalQuery(query), lines, signedHeaders.join(";"), payloadHash].join("\n");
}

/** The text under the signature; exported for the vectors. */
export function stringToSign(
  canonical: string,
  amzDate: string,
  scope: { readonly date: string; readonly region: string; readonly service: string },
): string {
  return `${ALGORITHM}\n${amzDate}\n${scope.date}/${scope.region}/${scope.service}/aws4_request\n${hash(canonical)}`;
}

/** Lower-case names; values trimmed, inner runs of spaces as one, repeated headers joined by commas. */
function headerValues(rawHeaders: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? "").toLowerCase();
    const value = (rawHeaders[index + 1] ?? "").trim().replace(/ {2,}/g, " ");
    const earlier = headers.get(name);
    headers.set(name, earlier === undefined ? value : `${earlier},${value}`);
  }
  return headers;
}

function parseAuthorization(header: string | undefined): Authorization {
  if (header === undefined) throw new Refusal("MissingAuthenticationTokenException", "Missing Authentication Token");
  if (!header.startsWith(ALGORITHM)) throw incomplete(`Authorization does not begin with ${ALGORITHM}.`);
  const fields = new Map<string, string>();
  for (const part of header.slice(ALGORITHM.length).split(",")) {
    const equals = part.indexOf("=");
    if (equals > 0) fields.set(part.slice(0, equals).trim(), part.slice(equals + 1).trim());
  }
  const credential = (fields.get("Credential") ?? "").split("/");
  const [accessKeyId, date, region, service, terminator] = credential;
  const signedHeaders = fields.get("SignedHeaders");
  const signature = fields.get("Signature");
  if (!accessKeyId || !date || !region || !service || !terminator || credential.length !== 5)
    throw incomplete("Authorization has no Credential of the form key/date/region/service/aws4_request.");
  if (!signedHeaders || !signature) throw incomplete("Authorization needs SignedHeaders and Signature.");
  return { accessKeyId, date, region, service, terminator, signedHeaders: signedHeaders.split(";"), signature };
}

function checkSessionToken(credentials: Credentials, headers: ReadonlyMap<string, string>, now: number): void {
  if (headers.get("x-amz-security-token") !== credentials.sessionToken) throw unrecognized();
  if (credentials.expiresAt !== undefined && now > credentials.expiresAt)
    throw new Refusal("ExpiredTokenException", "The security token included in the request is expired");
}

function checkScope(scope: Authorization, regions: readonly string[]): void {
  if (!regions.includes(scope.region))
    throw invalid(`Credential should be scoped to a valid region: ${regions.join(" or ")}, not '${scope.region}'.`);
  if (scope.service !== SERVICE)
    throw invalid(`Credential should be scoped to correct service: '${SERVICE}', not '${scope.service}'.`);
  if (scope.terminator !== "aws4_request")
    throw invalid(`Credential should be scoped with a valid terminator: 'aws4_request', not '${scope.terminator}'.`);
}

function checkDate(amzDate: string | undefined, scope: Authorization, now: number): string {
  const match = AMZ_DATE.exec(amzDate ?? "");
  if (amzDate === undefined || match === null)
    throw incomplete("X-Amz-Date is missing or not of the form YYYYMMDDTHHMMSSZ.");
  const [, year, month, day, hour, minute, second] = match.map(Number);
  const signedAt = Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
  if (!amzDate.startsWith(scope.date))
    throw invalid(
      `Date in Credential scope does not match YYYYMMDD from X-Amz-Date: '${scope.date}' and '${amzDate}'.`,
    );
  if (signedAt < now - MAX_SKEW_MS)
    throw invalid(`Signature expired: ${amzDate} is now earlier than ${iso(now - MAX_SKEW_MS)} (${iso(now)} - 5 min.)`);
  if (signedAt > now + MAX_SKEW_MS)
    throw invalid(`Signature not yet current: ${amzDate} is still later than ${iso(now + MAX_SKEW_MS)}`);
  return amzDate;
}

function checkSignedHeaders(signed: readonly string[], headers: ReadonlyMap<string, string>): void {
  if (!signed.includes("host")) throw invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.");
  for (const name of signed)
    if (!headers.has(name)) throw invalid(`The signed header '${name}' is not in the request that arrived.`);
  for (const name of headers.keys())
    if (name.startsWith("x-amz-") && !signed.includes(name))
      throw invalid(`The header '${name}' must be a 'SignedHeader' in the AWS Authorization.`);
}

function canonicalQuery(query: string): string {
  if (query === "") return "";
  const pairs = query.split("&").map((pair) => {
    const equals = pair.indexOf("=");
    const [name, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
    return { name: uriEncode(decode(name)), value: uriEncode(decode(value)) };
  });
  pairs.sort((a, b) => compare(a.name, b.name) || compare(a.value, b.value));
  return pairs.map(({ name, value }) => `${name}=${value}`).join("&");
}

function signingKey(secret: string, scope: Authorization): Buffer {
  const id = `${secret} ${scope.date} ${scope.region}`;
  const known = signingKeys.get(id);
  if (known !== undefined) return known;
  let key = hmac(`AWS4${secret}`, scope.date);
  for (const part of [scope.region, SERVICE, "aws4_request"]) key = hmac(key, part);
  if (signingKeys.size >= 100) signingKeys.clear();
  signingKeys.set(id, key);
  return key;
}

function splitTarget(target: string): [string, string] {
  const mark = target.indexOf("?");
  return mark < 0 ? [target, ""] : [target.slice(0, mark), target.slice(mark + 1)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(`The query part '${text}' is not percent-encoded UTF-8.`);
  }
}

/** RFC 3986: everything but the unreserved characters. */
function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function hash(bytes: string | Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function iso(time: number): string {
  return new Date(time).toISOString().replace(/[-:]|\.\d+/g, "");
}

function unrecognized(): Refusal {
  return new Refusal("UnrecognizedClientException", "The security token included in the request is invalid.");
}

function incomplete(message: string): Refusal {
  return new Refusal("IncompleteSignatureException", message);
}

function invalid(message: string): Refusal {
  return new Refusal("InvalidSignatureException", message);
}

function mismatch(canonical: string, toSign: string): Refusal {
  return invalid(
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key " +
      `and signing method.\n\nThe Canonical String for this request should have been\n'${canonical}'\n\n` +
      `The String-to-Sign should have been\n'${toSign}'\n`,
  );
}
