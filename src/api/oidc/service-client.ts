import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import { isPlaceholder } from "../../core/placeholder.ts";
import { Secret } from "./secret.ts";
import type { OidcSettings } from "./settings.ts";

/** The client that this server is towards other services: registered apart from the one that signs people in. */
export interface ServiceClientSettings {
  readonly issuer: string;
  readonly clientId: string;
  readonly secret: Secret;
  readonly method: "client_secret_basic" | "client_secret_post";
  /** Separated by spaces; null for what the provider gives by itself. */
  readonly scope: string | null;
  /** What the token is for (RFC 8707); null where the provider does not ask. */
  readonly resource: string | null;
  /** Plain HTTP to a provider on loopback. */
  readonly allowInsecure: boolean;
}

/** Settings as they come from flags, environment and file. An empty text counts as not set. */
export interface ServiceClientOptions {
  readonly serviceClientId?: string | undefined;
  readonly serviceClientSecret?: string | undefined;
  /** `client_secret_basic` by default, or `client_secret_post`. */
  readonly serviceClientAuth?: string | undefined;
  readonly serviceClientScope?: string | undefined;
  readonly serviceClientResource?: string | undefined;
}

const METHODS = ["client_secret_basic", "client_secret_post"] as const;

/**
 * Checks everything and reports everything. Asks nobody.
 *
 * @param provider the settings of signing in: the same provider gives the tokens
 * @returns null where no service client is set
 * @throws ConfigError with every problem; none of them shows the secret
 */
export function checkServiceClient(
  options: ServiceClientOptions,
  { issuer, allowInsecure, clientId: browserClientId }: OidcSettings,
): ServiceClientSettings | null {
  const clientId = set(options.serviceClientId);
  const secret = set(options.serviceClientSecret);
  if (clientId === null && secret === null) return null;
  const problems: ConfigProblem[] = [];
  const problem = (setting: keyof ServiceClientOptions, text: string): void => {
    problems.push({ setting, problem: text });
  };
  if (clientId === null) problem("serviceClientId", "serviceClientSecret is set without it");
  else if (!/^[\x20-\x7e]{1,255}$/.test(clientId)) {
    problem("serviceClientId", "wanted 1 to 255 printable characters");
  } else if (clientId === browserClientId) {
    problem("serviceClientId", "wanted another client than the one that signs people in");
  }
  if (secret === null) problem("serviceClientSecret", "serviceClientId is set without it");
  else if (isPlaceholder(secret)) {
    problem("serviceClientSecret", "this is a placeholder, not a secret");
  }
  const wanted = set(options.serviceClientAuth) ?? "client_secret_basic";
  const method = METHODS.find((name) => name === wanted);
  if (method === undefined) problem("serviceClientAuth", `wanted one of ${METHODS.join(", ")}`);
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    issuer,
    clientId: clientId ?? "",
    secret: new Secret(secret ?? ""),
    method: method ?? "client_secret_basic",
    scope: set(options.serviceClientScope),
    resource: set(options.serviceClientResource),
    allowInsecure,
  };
}

function set(text: string | undefined): string | null {
  return text === undefined || text.trim() === "" ? null : text;
}
