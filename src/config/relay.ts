import { readFileSync } from "node:fs";
import { type BaseUrl, type BaseUrlFault, parseBaseUrl } from "../core/base-url.ts";
import type { ConfigProblem } from "../core/errors.ts";
import type { ApiGateOptions, RelayOptions } from "../relay/index.ts";
import type { SettingName, Values } from "./settings.ts";

/** The settings that become options of the mux, and their names there. */
const MUX_OPTIONS = {
  windowInitial: "initialWindowBytes",
  windowMax: "maxWindowBytes",
  tunnelWindowGrowthMax: "maxSessionWindowGrowthBytes",
  streamsPerTunnelMax: "maxOutboundStreams",
  streamOpenTimeout: "openTimeoutMs",
  keepAliveInterval: "keepAliveIntervalMs",
  keepAliveTimeout: "keepAliveTimeoutMs",
  slowReaderTimeout: "slowReaderTimeoutMs",
  tunnelReceiveBufferMax: "maxSessionRecvBufferBytes",
  streamSendQueueMax: "maxStreamSendQueueBytes",
  tunnelSendQueueMax: "maxSessionSendQueueBytes",
  messageMax: "maxWsMessageOutBytes",
} as const satisfies Partial<Record<SettingName, keyof RelayOptions["mux"]>>;

/** What operators call an option that the relay or the mux complains of. */
const SETTING_OF_OPTION: ReadonlyMap<string, string> = new Map([
  ...Object.entries(MUX_OPTIONS).map(([setting, option]) => [option, setting] as const),
  ["tlsCertFile", "tlsCert"],
  ["tlsKeyFile", "tlsKey"],
]);

/** Problems of options, told by the names of settings. */
export function inSettingNames(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return problems.map(({ setting, problem }) => ({
    setting: SETTING_OF_OPTION.get(setting) ?? setting,
    problem,
  }));
}

const API_FAULTS: Readonly<Record<BaseUrlFault, string>> = {
  "no URL": "wanted a URL such as http://127.0.0.1:3722",
  scheme: "wanted a URL that starts with http:// or https://",
  credentials: "wanted a URL without user name and password; the internal secret is sent",
  query: "wanted a URL without query and fragment",
};

/** Settings that do not go together, as far as the relay and the mux do not check that themselves. */
export function relaySettingsProblems(values: Values): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const { api, credentials, failClosedAfter } = values;
  if (credentials === null && api === null) {
    const problem = "required: the file that says who may connect and who may call (or --api)";
    problems.push({ setting: "credentials", problem });
  }
  if (credentials !== null && api !== null) {
    const problem = "not together with --credentials: one of them says who may connect and call";
    problems.push({ setting: "api", problem });
  }
  const parsed = api === null ? null : parseBaseUrl(api);
  if (parsed?.ok === false) problems.push({ setting: "api", problem: API_FAULTS[parsed.fault] });
  if (values.apiCa !== null && parsed?.ok !== true) {
    problems.push({ setting: "apiCa", problem: "has no effect without --api" });
  } else if (values.apiCa !== null && api?.startsWith("http:") === true) {
    problems.push({ setting: "apiCa", problem: "has no effect: --api is no https:// URL" });
  }
  if (failClosedAfter > 0 && api === null) {
    const problem = "has no effect without --api";
    problems.push({ setting: "failClosedAfter", problem });
  }
  if (values.listenPort !== 0 && values.listenPort === values.internalPort) {
    const problem = "the same as listenPort; each listener wants a port of its own";
    problems.push({ setting: "internalPort", problem });
  }
  return problems;
}

/** The relay's options from checked settings. */
export function relayOptions(values: Values, internalSecret: string): RelayOptions {
  return {
    listenHost: values.listenHost,
    listenPort: values.listenPort,
    internalHost: values.internalHost,
    internalPort: values.internalPort,
    internalSecret,
    tlsCertFile: values.tlsCert,
    tlsKeyFile: values.tlsKey,
    edgeDomain: values.edgeDomain,
    trustedProxyCidrs: values.trustedProxyCidrs,
    allowQueryToken: values.allowQueryToken,
    yamuxRole: values.yamuxRole,
    firstByteTimeoutMs: values.firstByteTimeout,
    idleTimeoutMs: values.idleTimeout,
    holdMs: values.holdTime,
    holdQueueMax: values.holdQueueMax,
    tunnelsMax: values.tunnelsMax,
    inFlightPerDeviceMax: values.inFlightPerDeviceMax,
    inFlightMax: values.inFlightMax,
    idleStreamsPerTunnelMax: values.idleStreamsPerTunnelMax,
    idleStreamMs: values.idleStreamTime,
    handshakesPerSecondMax: values.handshakesPerSecondMax,
    failedHandshakesPerMinuteMax: values.failedHandshakesPerMinuteMax,
    headBytesMax: values.headMax,
    drainMs: values.drainTime,
    displacedGraceMs: values.displacedGrace,
    mux: muxOptions(values),
  };
}

/** Tokens and devices that are remembered at least, however few tunnels a relay takes. */
const KNOWN_LEAST = 10_000;

/** The part of the gate's options that settings decide. */
export type ApiGateSettings = Pick<
  ApiGateOptions,
  "api" | "secret" | "ca" | "failClosedAfterMs" | "knownTokensMax" | "knownDevicesMax"
>;

/** Where the API server is asked and how, from checked settings; null where a credentials file decides. */
export function apiGateOptions(values: Values, internalSecret: string): ApiGateSettings | null {
  const parsed = values.api === null ? null : parseBaseUrl(values.api);
  if (parsed === null || !parsed.ok) return null;
  const api: BaseUrl = { origin: parsed.origin, prefix: parsed.prefix };
  // Twice what may be connected: what lives is never what is forgotten first.
  const knownMax = Math.max(KNOWN_LEAST, 2 * values.tunnelsMax);
  return {
    api,
    secret: internalSecret,
    ca: values.apiCa === null ? null : readFileSync(values.apiCa, "utf8"),
    failClosedAfterMs: values.failClosedAfter,
    knownTokensMax: knownMax,
    knownDevicesMax: knownMax,
  };
}

function muxOptions(values: Values): RelayOptions["mux"] {
  const options: Record<string, unknown> = {};
  for (const [setting, option] of Object.entries(MUX_OPTIONS)) {
    const value = values[setting as keyof typeof MUX_OPTIONS];
    if (value !== null) options[option] = value;
  }
  if (values.messageMax !== null) options["hardWsMessageOut"] = true;
  return options;
}
