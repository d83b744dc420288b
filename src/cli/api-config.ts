import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import {
  API_DEFAULTS,
  type ApiApp,
  type ApiAppOptions,
  AUTH_DEFAULTS,
  apiOptionsProblems,
  authOptionsProblems,
  checkOidcOptions,
  checkServiceClient,
  DEVICE_DEFAULTS,
  type DeviceOptions,
  startApi,
} from "../api/index.ts";
import {
  apiListenerOptions,
  apiSettingsProblems,
  apiWarnings,
  authSettings,
  databaseUrl,
  dataFolder,
  deviceSettings,
  type Environment,
  inApiSettingNames,
  keyRing,
  newKeyRing,
  oidcOptions,
  RING_FILES,
  type RingSetting,
  relayUrls,
  requestRates,
  type SessionRings,
  serviceClientSettings,
  type Values,
} from "../config/index.ts";
import type { ConfigProblem } from "../core/errors.ts";
import { collect, secretForCheck } from "./relay-config.ts";

/** The commands that run an API server with settings of an operator's. */
export type ApiCommand = "api" | "up";

const RINGS = Object.keys(RING_FILES) as RingSetting[];
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|::1)$/;
const SECRET_BYTES_MIN = 32;

/** Everything that keeps an API server from running with these settings. Opens and makes nothing. */
export function apiProblems(
  values: Values,
  command: ApiCommand,
  environment: Environment,
): ConfigProblem[] {
  const problems = apiSettingsProblems(values, command);
  collect(problems, () => {
    const oidc = checkOidcOptions(oidcOptions(values, environment));
    checkServiceClient(serviceClientSettings(values), oidc);
    return [];
  });
  collect(problems, () => apiOptionsProblems({ ...API_DEFAULTS, ...apiListenerOptions(values) }));
  const rings: Record<RingSetting, string> = { sessionSecrets: "", tokenEncKeys: "" };
  for (const name of RINGS) {
    collect(problems, () => {
      rings[name] = ringForCheck(values, name, command, environment);
      return [];
    });
  }
  const usable = { ...AUTH_DEFAULTS, ...authSettings(values, rings) };
  problems.push(...authOptionsProblems(usable));
  collect(problems, () => {
    databaseUrl(values, environment);
    return [];
  });
  collect(problems, () => internalProblems(values));
  return firstOfEach(inApiSettingNames(problems));
}

function internalProblems(values: Values): ConfigProblem[] {
  const secret = secretForCheck(values);
  const isOpen = !LOOPBACK.test(values.apiInternalHost);
  if (!isOpen || Buffer.byteLength(secret) >= SECRET_BYTES_MIN) return [];
  const problem = `on another address than loopback the internal secret must have ${SECRET_BYTES_MIN} bytes or more`;
  return [{ setting: "apiInternalHost", problem }];
}

/** A ring that would be made at the start is stood in for by a new one. */
function ringForCheck(
  values: Values,
  name: RingSetting,
  command: ApiCommand,
  environment: Environment,
): string {
  const folder = dataFolder(values.dataDir, environment);
  const isMade = values[name] === null && values[`${name}File`] === null && command === "up";
  if (isMade && !existsSync(join(folder, RING_FILES[name]))) return newKeyRing();
  return keyRing(values, name, { folder, make: false }).text;
}

/** What is missing is told once, and not again by whoever misses it further on. */
function firstOfEach(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const seen = new Set<string>();
  return problems.filter(({ setting }) => !seen.has(setting) && seen.add(setting));
}

/** What the command line knows of an API server's surroundings. */
export interface ApiSurroundings {
  readonly internalSecret: string;
  /** Address of the relay's internal API. */
  readonly relayUrl: string;
  /** The relay of this process: its public port, and whether that speaks TLS. Null for one elsewhere. */
  readonly relay: { readonly port: number; readonly tls: boolean } | null;
  /** Makes key rings in the data folder where there are none. */
  readonly makeRings: boolean;
  readonly environment: Environment;
}

/** What an API server is started with. */
export interface ApiSetup {
  readonly options: ApiAppOptions;
  /** Sentences for the log. */
  readonly warnings: readonly string[];
}

/**
 * The API server's options from checked settings.
 *
 * @throws ConfigError where a secret cannot be read or made
 */
export function apiSetup(values: Values, surroundings: ApiSurroundings): ApiSetup {
  const { internalSecret, relayUrl, relay, makeRings, environment } = surroundings;
  const folder = dataFolder(values.dataDir, environment);
  const found = RINGS.map((name) => keyRing(values, name, { folder, make: makeRings }));
  const [sessionSecrets = "", tokenEncKeys = ""] = found.map(({ text }) => text);
  const rings: SessionRings = { sessionSecrets, tokenEncKeys };
  const urls = relayUrls(values, relay);
  const warnings = [
    ...found.flatMap(({ warning }) => (warning === null ? [] : [warning])),
    ...apiWarnings(values, urls, relayUrl),
  ];
  const options: ApiAppOptions = {
    http: { ...API_DEFAULTS, ...apiListenerOptions(values) },
    internal: {
      listenHost: values.apiInternalHost,
      listenPort: values.apiInternalPort,
      secret: internalSecret,
    },
    databaseUrl: databaseUrl(values, environment),
    relayUrl,
    oidc: checkOidcOptions(oidcOptions(values, environment)),
    auth: { ...AUTH_DEFAULTS, ...authSettings(values, rings) },
    devices: deviceOptions(values, relay),
    forward: {
      inFlightMax: values.forwardsMax,
      inFlightPerTenantMax: values.forwardsPerTenantMax,
    },
    rates: requestRates(values),
    auditLog: values.auditLog,
  };
  return { options, warnings };
}

/**
 * Starts an API server and says where it listens.
 *
 * @throws ConfigError by the names of options, and for a port that cannot be had
 */
export async function startOwnApi(options: ApiAppOptions, logger: Logger): Promise<ApiApp> {
  const api = await startApi(options, { logger });
  const { http, internal } = options;
  const listen = `${bracketed(http.listenHost)}:${api.port}`;
  logger.info(
    {
      listen,
      internal: `${bracketed(internal.listenHost)}:${api.internalPort}`,
      tls: http.tlsCertFile !== null,
      public_base_url: http.publicBaseUrl,
    },
    "API server listens",
  );
  return api;
}

function deviceOptions(values: Values, relay: ApiSurroundings["relay"]): DeviceOptions {
  const { exchange } = DEVICE_DEFAULTS;
  return {
    ...DEVICE_DEFAULTS,
    ...deviceSettings(values, relayUrls(values, relay)),
    exchange: exchange === null ? null : { ...exchange, failuresMax: values.pairingFailuresMax },
  };
}

/** A listener's host as others on this machine dial it. */
export function dialable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return bracketed(host === "::" ? "::1" : host);
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
