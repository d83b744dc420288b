import type { ApiOptions, OidcOptions, RequestRates } from "../api/index.ts";
import { type BaseUrlFault, parseBaseUrl } from "../core/base-url.ts";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { databaseUrl as databaseUrlKind } from "./kinds.ts";
import { dataFolder, givenSecret, type SecretSetting } from "./secret-files.ts";
import type { SettingName, SettingsCommand, Values } from "./settings.ts";
import { variableName } from "./settings.ts";

/** The process's environment, as far as settings look at it. */
export type Environment = Readonly<Record<string, string | undefined>>;

const DATABASE_FILE = "hawser.db";
const RELAY_PORT = 3_800;

const REQUIRED: readonly (readonly [SettingName, string])[] = [
  ["publicBaseUrl", "where people find the API server, such as https://hawser.example.org"],
  ["oidcIssuer", "the OpenID provider that people sign in at"],
  ["oidcClientId", "our client id at the provider"],
];

const URL_FAULTS: Readonly<Record<BaseUrlFault, string>> = {
  "no URL": "wanted a URL such as http://127.0.0.1:3801",
  scheme: "wanted a URL that starts with http:// or https://",
  credentials: "wanted a URL without user name and password",
  query: "wanted a URL without query and fragment",
};

/** What operators call an option that the listener or the relying party complains of. */
const SETTING_OF_OPTION: ReadonlyMap<string, string> = new Map([
  ["tlsCertFile", "apiTlsCert"],
  ["tlsKeyFile", "apiTlsKey"],
  ["tlsRejectUnauthorized", "NODE_TLS_REJECT_UNAUTHORIZED"],
  ["sessionIdleMs", "sessionIdle"],
  ["sessionAbsoluteMs", "sessionAbsolute"],
  ["pendingMax", "pendingSignInsMax"],
  ["loginsPerMinute", "loginsPerMinuteMax"],
  ["callbacksPerMinute", "callbacksPerMinuteMax"],
  ["backchannelFailuresPerMinute", "backchannelFailuresPerMinuteMax"],
]);

/** Problems of the API server's options, told by the names of settings. */
export function inApiSettingNames(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return problems.map(({ setting, problem }) => ({
    setting: SETTING_OF_OPTION.get(setting) ?? setting,
    problem,
  }));
}

/** Settings of the API server that do not go together, as far as it does not check that itself. */
export function apiSettingsProblems(
  values: Values,
  command: Extract<SettingsCommand, "api" | "up">,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const report = (setting: SettingName, problem: string): void => {
    problems.push({ setting, problem });
  };
  for (const [name, meaning] of REQUIRED) {
    if (values[name] === null) report(name, `required (${variableName(name)}): ${meaning}`);
  }
  if (values.oidcClientAuth === null && !isGiven(values, "oidcClientSecret")) {
    const variable = variableName("oidcClientAuth");
    report(
      "oidcClientAuth",
      `required (${variable}), or a secret in HAWSER_OIDC_CLIENT_SECRET: none is a public client, which PKCE alone protects`,
    );
  }
  if (command === "api") {
    const parsed = parseBaseUrl(values.relayInternalUrl);
    if (!parsed.ok) report("relayInternalUrl", URL_FAULTS[parsed.fault]);
  }
  checkPublicUrl(values.tunnelUrl, ["ws:", "wss:"], (text) => report("tunnelUrl", text));
  checkPublicUrl(values.edgeUrl, ["http:", "https:"], (text) => report("edgeUrl", text));
  for (const [later, earlier] of portPairs(command)) {
    if (values[later] !== 0 && values[later] === values[earlier]) {
      report(later, `the same as ${earlier}; each listener wants a port of its own`);
    }
  }
  return problems;
}

type PortName = "apiPort" | "apiInternalPort" | "listenPort" | "internalPort";

function portPairs(command: SettingsCommand): (readonly [PortName, PortName])[] {
  const own: readonly PortName[] = ["apiPort", "apiInternalPort"];
  const names = command === "up" ? [...own, "listenPort" as const, "internalPort" as const] : own;
  return names.flatMap((later, index) =>
    names.slice(0, index).map((earlier) => [later, earlier] as const),
  );
}

function isGiven(values: Values, name: SecretSetting): boolean {
  return values[name] !== null || values[`${name}File`] !== null;
}

function checkPublicUrl(
  text: string | null,
  schemes: readonly string[],
  report: (problem: string) => void,
): void {
  if (text === null) return;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !schemes.includes(url.protocol)) {
    report(`wanted a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(" or ")}`);
  } else if (url.username !== "" || url.password !== "" || /[?#]/.test(text)) {
    report("wanted a URL without user name, password, query and fragment");
  }
}

/** Text of a secret, undefined where it is not given. */
function secretOf(values: Values, name: SecretSetting): string | undefined {
  return givenSecret(values, name)?.text;
}

/**
 * What the relying party is told, for its own check.
 *
 * @throws ConfigError where a file with a secret cannot be read
 */
export function oidcOptions(values: Values, environment: Environment): OidcOptions {
  return {
    publicBaseUrl: values.publicBaseUrl ?? undefined,
    oidcIssuer: values.oidcIssuer ?? undefined,
    oidcClientId: values.oidcClientId ?? undefined,
    oidcClientAuth: values.oidcClientAuth ?? undefined,
    oidcClientSecret: secretOf(values, "oidcClientSecret"),
    oidcClientPrivateKey: secretOf(values, "oidcClientPrivateKey"),
    oidcClientKeyId: values.oidcClientKeyId ?? undefined,
    oidcScopes: values.oidcScopes,
    oidcAlgs: values.oidcAlgs,
    oidcClockToleranceSec: values.oidcClockToleranceSec,
    oidcAllowInsecure: values.oidcAllowInsecure,
    oidcAssumeS256: values.oidcAssumeS256,
    oidcTenantClaim: values.oidcTenantClaim ?? undefined,
    oidcRoleClaim: values.oidcRoleClaim ?? undefined,
    oidcRefresh: values.oidcRefresh,
    oidcRtRotation: values.oidcRtRotation ?? undefined,
    oidcIdTokenHint: values.oidcIdTokenHint,
    oidcLogoutTypOptional: values.oidcLogoutTypOptional,
    apiJwtIssuers: values.apiJwtIssuers ?? undefined,
    apiJwtAudience: values.apiJwtAudience ?? undefined,
    tlsRejectUnauthorized: environment["NODE_TLS_REJECT_UNAUTHORIZED"],
  };
}

/** What the API server is as a client of other services, for its own check. */
export interface ServiceClientSettings {
  readonly serviceClientId: string | undefined;
  readonly serviceClientSecret: string | undefined;
  readonly serviceClientAuth: string;
  readonly serviceClientScope: string | undefined;
  readonly serviceClientResource: string | undefined;
}

/** @throws ConfigError where the file with its secret cannot be read */
export function serviceClientSettings(values: Values): ServiceClientSettings {
  return {
    serviceClientId: values.serviceClientId ?? undefined,
    serviceClientSecret: secretOf(values, "serviceClientSecret"),
    serviceClientAuth: values.serviceClientAuth,
    serviceClientScope: values.serviceClientScope ?? undefined,
    serviceClientResource: values.serviceClientResource ?? undefined,
  };
}

/** The part of the public listener's options that settings decide. */
export type ApiListenerSettings = Pick<
  ApiOptions,
  | "listenHost"
  | "listenPort"
  | "tlsCertFile"
  | "tlsKeyFile"
  | "publicBaseUrl"
  | "corsOrigins"
  | "trustedProxyCidrs"
  | "connectionsMax"
  | "drainMs"
  | "authFailuresMax"
>;

/** The public listener's options from checked settings. */
export function apiListenerOptions(values: Values): ApiListenerSettings {
  return {
    listenHost: values.apiHost,
    listenPort: values.apiPort,
    tlsCertFile: values.apiTlsCert,
    tlsKeyFile: values.apiTlsKey,
    publicBaseUrl: values.publicBaseUrl ?? "",
    corsOrigins: values.corsOrigins,
    trustedProxyCidrs: values.trustedProxyCidrs,
    connectionsMax: values.apiConnectionsMax,
    drainMs: values.drainTime,
    authFailuresMax: values.authFailuresMax,
  };
}

/** The keys of sessions, as the sign-in takes them. */
export interface SessionRings {
  readonly sessionSecrets: string;
  readonly tokenEncKeys: string;
}

/** The part of the sign-in's options that settings decide. */
export interface AuthSettings extends SessionRings {
  readonly sessionIdleMs: number;
  readonly sessionAbsoluteMs: number;
  readonly sessionEndsWithIdToken: boolean;
  readonly sessionPersistent: boolean;
  readonly sessionsPerUserMax: number;
  readonly pendingMax: number;
  readonly loginsPerMinute: number;
  readonly callbacksPerMinute: number;
  readonly backchannelFailuresPerMinute: number;
  readonly confirmCrossSiteStart: boolean;
  readonly corsOrigins: readonly string[];
  readonly adminRole: string;
}

/** The sign-in's options from checked settings and the two key rings. */
export function authSettings(values: Values, rings: SessionRings): AuthSettings {
  return {
    ...rings,
    sessionIdleMs: values.sessionIdle,
    sessionAbsoluteMs: values.sessionAbsolute,
    sessionEndsWithIdToken: values.sessionEndsWithIdToken,
    sessionPersistent: values.sessionPersistent,
    sessionsPerUserMax: values.sessionsPerUserMax,
    pendingMax: values.pendingSignInsMax,
    loginsPerMinute: values.loginsPerMinuteMax,
    callbacksPerMinute: values.callbacksPerMinuteMax,
    backchannelFailuresPerMinute: values.backchannelFailuresPerMinuteMax,
    confirmCrossSiteStart: values.confirmCrossSiteStart,
    corsOrigins: values.corsOrigins,
    adminRole: values.adminRole,
  };
}

/** Requests a minute of each kind of caller from checked settings. */
export function requestRates(values: Values): RequestRates {
  return {
    session: values.sessionRequestsPerMinuteMax,
    key: values.keyRequestsPerMinuteMax,
    service: values.machineRequestsPerMinuteMax,
    device: values.deviceRequestsPerMinuteMax,
  };
}

/** The part of the devices' options that settings decide. */
export interface DeviceSettings extends RelayUrls {
  readonly edgeDomain: string | null;
  readonly deviceTokenTtlMs: number | null;
  readonly needsApproval: boolean;
  readonly pairing: {
    readonly perUserMax: number;
    readonly perTenantMax: number;
    readonly ttlMs: number;
  };
}

/** The devices' options from checked settings. */
export function deviceSettings(values: Values, urls: RelayUrls): DeviceSettings {
  return {
    ...urls,
    edgeDomain: values.edgeDomain,
    deviceTokenTtlMs: values.deviceTokenLifetime,
    needsApproval: values.pairingNeedsApproval,
    pairing: {
      ttlMs: values.pairingCodeLifetime,
      perUserMax: values.pairingCodesPerUserMax,
      perTenantMax: values.pairingCodesPerTenantMax,
    },
  };
}

/**
 * The database that is set, else a file in the data folder.
 *
 * @throws ConfigError where the file with the URL cannot be read or has none
 */
export function databaseUrl(values: Values, environment: Environment): string {
  const given = givenSecret(values, "databaseUrl");
  if (given === null) {
    return `sqlite:${dataFolder(values.dataDir, environment)}/${DATABASE_FILE}`;
  }
  const { parse, wanted } = databaseUrlKind();
  const url = parse(given.text);
  if (url !== undefined) return url;
  throw new ConfigError([{ setting: "databaseUrlFile", problem: `wanted ${wanted}` }]);
}

/** What devices dial and what callers put before `/d/<device>`. */
export interface RelayUrls {
  readonly tunnelUrl: string;
  readonly edgeUrl: string;
}

/**
 * The relay's addresses as the outside knows them: as set, else a port of the base URL's host, with TLS where the base
 * URL has it.
 *
 * @param relay the relay of this process, where there is one; its port and whether it speaks TLS itself
 */
export function relayUrls(
  values: Values,
  relay: { readonly port: number; readonly tls: boolean } | null,
): RelayUrls {
  const base = new URL(values.publicBaseUrl ?? "http://localhost");
  const isSecure = relay?.tls ?? base.protocol === "https:";
  const port = relay?.port ?? RELAY_PORT;
  const scheme = isSecure ? "wss" : "ws";
  const tunnelUrl = (values.tunnelUrl ?? `${scheme}://${base.hostname}:${port}`).replace(
    /\/+$/,
    "",
  );
  const edgeUrl = values.edgeUrl ?? new URL(tunnelUrl.replace(/^ws/, "http")).origin;
  return { tunnelUrl, edgeUrl: edgeUrl.replace(/\/+$/, "") };
}

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

/** Sentences for the log about what works and is not safe everywhere. */
export function apiWarnings(values: Values, { tunnelUrl }: RelayUrls, relayUrl: string): string[] {
  const warnings: string[] = [];
  const base = new URL(values.publicBaseUrl ?? "http://localhost");
  if (base.protocol === "https:" && tunnelUrl.startsWith("ws:")) {
    warnings.push(
      `Devices are told to dial ${tunnelUrl}, without TLS: their tokens can be read on the way. That is for closed networks.`,
    );
  }
  const relay = new URL(relayUrl);
  if (relay.protocol === "http:" && !LOOPBACK.test(relay.hostname)) {
    warnings.push("The internal secret goes to the relay over plain HTTP.");
  }
  return warnings;
}
