/**
 * The gateway's AWS credentials: the AWS SDK's full default chain, or a Bedrock API key, always at hand.
 *
 * A request never waits for a refresh while the present credentials are still valid: from five minutes before their end
 * they are renewed in the background, and a failed renewal is tried again while requests go on with what there is.
 */
import { GatewayError } from "../errors.ts";

export type BedrockCredentials =
  | { readonly kind: "bearer"; readonly token: string }
  | {
      readonly kind: "sigv4";
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken?: string;
      readonly expiration?: Date;
    };

export interface CredentialSource {
  /** Throws GatewayError `upstream_auth_error` when there are none. */
  get(): Promise<BedrockCredentials>;
}

/** What the SDK's chain resolves to. */
export interface AwsIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

export interface RefreshOptions {
  readonly load: () => Promise<AwsIdentity>;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

const REFRESH_AHEAD_MS = 5 * 60_000;
/** Between two background attempts after a failure. */
const RETRY_MS = 10_000;
/** Credentials that end sooner than this are not used: the signature has to outlive the way to Bedrock. */
const MARGIN_MS = 15_000;

export function bearerCredentials(token: string): CredentialSource {
  const credentials: BedrockCredentials = { kind: "bearer", token };
  return { get: async () => credentials };
}

export function refreshingCredentials({ load, now, onError }: RefreshOptions): CredentialSource {
  let current: BedrockCredentials | undefined;
  let expiresAt = 0;
  let loading: Promise<BedrockCredentials> | undefined;
  let retryAt = 0;

  async function refresh(): Promise<BedrockCredentials> {
    try {
      const { accessKeyId, secretAccessKey, sessionToken, expiration } = await load();
      current = {
        kind: "sigv4",
        accessKeyId,
        secretAccessKey,
        ...(sessionToken === undefined ? {} : { sessionToken }),
        ...(expiration === undefined ? {} : { expiration }),
      };
      expiresAt = expiration?.getTime() ?? Number.POSITIVE_INFINITY;
      return current;
    } catch (error) {
      retryAt = now() + RETRY_MS;
      onError(error);
      throw new GatewayError(
        "upstream_auth_error",
        "The gateway has no valid AWS credentials. Its operator has to provide them; the gateway's log has the reason.",
        { cause: error },
      );
    } finally {
      loading = undefined;
    }
  }

  return {
    async get() {
      const time = now();
      if (current !== undefined && time < expiresAt - MARGIN_MS) {
        if (time > expiresAt - REFRESH_AHEAD_MS && loading === undefined && time >= retryAt) {
          loading = refresh();
          loading.catch(() => {}); // Reported by onError; the present credentials still serve.
        }
        return current;
      }
      loading ??= refresh();
      return loading;
    },
  };
}

/**
 * Environment, shared files, SSO, process, ECS, EKS Pod Identity, web identity (IRSA) and the instance's role, in the SDK's
 * order. The package is loaded on first use: with a bearer token the gateway never needs it.
 */
export function awsCredentials(options: Pick<RefreshOptions, "onError">): CredentialSource {
  let provider: (() => Promise<AwsIdentity>) | undefined;
  return refreshingCredentials({
    ...options,
    now: Date.now,
    async load() {
      if (provider === undefined) {
        const { fromNodeProviderChain } = await import("@aws-sdk/credential-providers");
        provider = fromNodeProviderChain();
      }
      return provider();
    },
  });
}
