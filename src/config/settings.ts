import {
  address,
  choice,
  cidrs,
  count,
  domain,
  duration,
  file,
  type Kind,
  port,
  size,
  text,
  toggle,
} from "./kinds.ts";

/** The commands that take settings. */
export type SettingsCommand = "relay" | "agent" | "dev";

/** One row of the table: everything that flags, variables, file keys, help and documents are made from. */
export interface Setting<T> {
  readonly kind: Kind<T>;
  readonly default: T;
  /** Defaults of commands that want another one. */
  readonly defaults: Partial<Record<SettingsCommand, T>>;
  readonly commands: readonly SettingsCommand[];
  /** Heading in help and documents. */
  readonly group: Group;
  /** One or two sentences; Markdown is shown as it is in `--help`. */
  readonly description: string;
  /** Shown in place of the default where the default depends on the machine or is no value. */
  readonly defaultText: string;
  /** The value is secret: taken from a variable alone, and never printed. */
  readonly secret: boolean;
  /** The value names a file that must be readable. */
  readonly mustBeReadable: boolean;
}

export type Group =
  | "Listening"
  | "Who may connect and call"
  | "Requests"
  | "Tunnels"
  | "Flow control"
  | "Agent"
  | "Stopping and logs";

type Extras<T> = Partial<
  Pick<Setting<T>, "commands" | "defaults" | "defaultText" | "secret" | "mustBeReadable">
>;

function setting<T>(
  group: Group,
  kind: Kind<T>,
  defaultValue: NoInfer<T>,
  description: string,
  extras: Extras<NoInfer<T>> = {},
): Setting<T> {
  return {
    kind,
    default: defaultValue,
    defaults: extras.defaults ?? {},
    commands: extras.commands ?? ["relay"],
    group,
    description,
    defaultText: extras.defaultText ?? "",
    secret: extras.secret ?? false,
    mustBeReadable: extras.mustBeReadable ?? false,
  };
}

/** A setting that may be left out. `withoutIt` says what happens then. */
function optional<T>(
  group: Group,
  kind: Kind<T>,
  withoutIt: string,
  description: string,
  extras: Extras<T | null> = {},
): Setting<T | null> {
  const orNull: Kind<T | null> = {
    valueName: kind.valueName,
    schema: kind.schema,
    show: (value) => (value === null ? "" : kind.show(value)),
  };
  return setting<T | null>(group, orNull, null, description, {
    defaultText: withoutIt,
    ...extras,
  });
}

const KIB = 1_024;
const MIB = 1_024 * KIB;
const GIB = 1_024 * MIB;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const MANY = 10_000_000;

/**
 * Every setting, by its name in the configuration file. The flag of `listenPort` is `--listen-port`, its
 * variable `HAWSER_LISTEN_PORT`.
 */
export const SETTINGS = {
  listenHost: setting(
    "Listening",
    address(),
    "0.0.0.0",
    "Address of the public listener: device tunnels and the edge.",
  ),
  listenPort: setting(
    "Listening",
    port(),
    3_800,
    "Port of the public listener; 0 lets the system pick one.",
    { commands: ["relay", "dev"] },
  ),
  internalHost: setting(
    "Listening",
    address(),
    "127.0.0.1",
    "Address of the internal API, health checks and metrics. Other than loopback it demands a shared secret of 32 bytes or more.",
  ),
  internalPort: setting(
    "Listening",
    port(),
    3_801,
    "Port of the internal API; 0 lets the system pick one.",
    { commands: ["relay", "dev"] },
  ),
  tlsCert: optional(
    "Listening",
    file(),
    "plain HTTP",
    "Certificate chain in PEM. With `tlsKey`, the public listener speaks TLS; both are read again on SIGHUP.",
    { mustBeReadable: true },
  ),
  tlsKey: optional("Listening", file(), "plain HTTP", "Private key in PEM, without a passphrase.", {
    mustBeReadable: true,
  }),
  trustedProxyCidrs: setting(
    "Listening",
    cidrs(),
    [],
    "Proxies in front of the relay whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
    { defaultText: "none" },
  ),

  credentials: optional(
    "Who may connect and call",
    file(),
    "required, unless `api` is given",
    "File of token and key digests that says who may connect and who may call. Read again when it changes.",
    { mustBeReadable: true },
  ),
  api: optional(
    "Who may connect and call",
    text("url"),
    "the credentials file decides",
    "Internal address of the API server, which then says who may connect and who may call: `http://127.0.0.1:3722`. Both have the same internal secret. Not together with `credentials`.",
  ),
  apiCa: optional(
    "Who may connect and call",
    file(),
    "Node's own list",
    "Certificates in PEM that the one of an `https://` API server is checked against.",
    { mustBeReadable: true },
  ),
  failClosedAfter: setting(
    "Who may connect and call",
    duration(0, 30 * 24 * HOUR),
    0,
    "How long the API server may be away until live tunnels are closed and known tokens and keys are refused (503); 0: they stay good.",
  ),
  dataDir: optional(
    "Who may connect and call",
    text("folder"),
    "`$XDG_STATE_HOME/hawser`, else `~/.local/state/hawser`",
    "Folder for what the relay keeps: the internal secret. Made with mode 0700 when it is missing.",
  ),
  internalSecretFile: optional(
    "Who may connect and call",
    file(),
    "`internal.secret` in `dataDir`, made with mode 0600 at the first start",
    "File with the shared secret of the internal API.",
    { mustBeReadable: true },
  ),
  internalSecret: optional(
    "Who may connect and call",
    text("secret"),
    "the file",
    "Shared secret of the internal API. Taken from the variable alone; wins over the file.",
    { secret: true },
  ),
  edgeDomain: optional(
    "Who may connect and call",
    domain(),
    "no selection by `Host`",
    "`Host: <device>.<edgeDomain>` selects a device.",
  ),
  allowQueryToken: setting(
    "Who may connect and call",
    toggle(),
    false,
    "Accept a device token as `?token=` too. Proxies on the way may log it; use it only for devices that cannot set a header.",
  ),

  firstByteTimeout: setting(
    "Requests",
    duration(SECOND, 24 * HOUR),
    60 * SECOND,
    "From the end of the request head to the device's response head; then 504.",
  ),
  idleTimeout: setting(
    "Requests",
    duration(SECOND, 24 * HOUR),
    120 * SECOND,
    "Longest silence in both directions of a running exchange. There is no limit on its whole time.",
  ),
  holdTime: setting(
    "Requests",
    duration(0, 5 * MINUTE),
    2 * SECOND,
    "How long a request for a known device without a tunnel waits for it; then 503.",
  ),
  holdQueueMax: setting(
    "Requests",
    count(0, MANY),
    1_024,
    "How many requests may wait for their devices at once.",
  ),
  inFlightMax: setting(
    "Requests",
    count(1, MANY),
    65_536,
    "Requests under way at once in the whole relay.",
  ),
  inFlightPerDeviceMax: setting(
    "Requests",
    count(1, MANY),
    1_024,
    "Requests under way at once for one device.",
  ),
  headMax: setting(
    "Requests",
    size(4 * KIB, MIB),
    32 * KIB,
    "Largest head of a request and of a response.",
  ),

  tunnelsMax: setting("Tunnels", count(1, MANY), 100_000, "Connected devices at once."),
  handshakesPerSecondMax: setting(
    "Tunnels",
    count(1, MANY),
    2_000,
    "Tunnel handshakes a second; more are told to come again (503).",
  ),
  failedHandshakesPerMinuteMax: setting(
    "Tunnels",
    count(1, MANY),
    60,
    "Failed handshakes a minute from one address; more are refused (429).",
  ),
  idleStreamsPerTunnelMax: setting(
    "Tunnels",
    count(0, 65_536),
    16,
    "Kept-alive streams of a tunnel that wait for the next request.",
  ),
  idleStreamTime: setting(
    "Tunnels",
    duration(0, HOUR),
    30 * SECOND,
    "How long a kept-alive stream waits.",
  ),
  displacedGrace: setting(
    "Tunnels",
    duration(0, 10 * MINUTE),
    5 * SECOND,
    "How long the running requests of a tunnel may go on when its device has connected anew.",
  ),
  yamuxRole: setting(
    "Tunnels",
    choice(["client", "server"]),
    "client",
    "Our yamux role; the other end takes the other one.",
    { commands: ["relay", "agent"], defaults: { agent: "server" } },
  ),
  keepAliveInterval: setting(
    "Tunnels",
    duration(SECOND, HOUR),
    30 * SECOND,
    "A tunnel that was silent for so long is pinged.",
  ),
  keepAliveTimeout: setting(
    "Tunnels",
    duration(SECOND, HOUR),
    10 * SECOND,
    "A tunnel that does not answer a ping in this time is cut.",
  ),
  streamsPerTunnelMax: setting(
    "Tunnels",
    count(1, 1_000_000),
    1_024,
    "Streams that the relay keeps open in one tunnel.",
  ),
  streamOpenTimeout: setting(
    "Tunnels",
    duration(SECOND, 10 * MINUTE),
    30 * SECOND,
    "How long a new stream may wait until its device takes it.",
  ),

  windowInitial: setting(
    "Flow control",
    size(256 * KIB, GIB),
    256 * KIB,
    "Receive window of a new stream. The protocol's own least is 256 KiB.",
  ),
  windowMax: setting(
    "Flow control",
    size(256 * KIB, GIB),
    4 * MIB,
    "Receive window up to which a fast stream on a long line grows.",
  ),
  tunnelReceiveBufferMax: setting(
    "Flow control",
    size(256 * KIB, 64 * GIB),
    128 * MIB,
    "Bytes received and not yet taken by clients, for all streams of a tunnel. At the limit the streams that hold most are reset.",
  ),
  streamSendQueueMax: setting(
    "Flow control",
    size(16 * KIB, GIB),
    256 * KIB,
    "Bytes that wait to be sent on one stream before its sender is paused.",
  ),
  tunnelSendQueueMax: setting(
    "Flow control",
    size(64 * KIB, GIB),
    4 * MIB,
    "The same for all streams of a tunnel.",
  ),
  tunnelWindowGrowthMax: setting(
    "Flow control",
    size(0, 64 * GIB),
    16 * MIB,
    "What all windows of a tunnel may grow by together, above their first size.",
  ),
  slowReaderTimeout: setting(
    "Flow control",
    duration(SECOND, HOUR),
    30 * SECOND,
    "A tunnel whose socket takes nothing for so long, with bytes waiting, is cut.",
  ),
  messageMax: optional(
    "Flow control",
    size(4 * KIB, 64 * KIB),
    "64 KiB for batches of frames, a window for one large frame",
    "Hard limit of a WebSocket message to devices, for gateways that cap frames (commonly at 32KiB).",
  ),

  relay: optional(
    "Agent",
    text("url"),
    "required",
    "Relay to dial: `ws://host:3800` or `wss://host`. Without a path `/tunnel/connect` is dialled.",
    { commands: ["agent"] },
  ),
  tokenFile: optional(
    "Agent",
    file(),
    "required, unless `HAWSER_TOKEN` holds the token",
    "File with the device token. Read again before every dial.",
    { commands: ["agent"], mustBeReadable: true },
  ),
  token: optional(
    "Agent",
    text("token"),
    "the file",
    "The device token itself. Taken from the variable alone; a token file wins over it.",
    { commands: ["agent"], secret: true },
  ),
  to: optional(
    "Agent",
    text("url"),
    "required",
    "Local service: `http://host:port`, `https://host:port`, or `tcp://host:port` for bytes as they are.",
    { commands: ["agent"] },
  ),
  ca: optional(
    "Agent",
    file(),
    "Node's own list",
    "Certificates in PEM that the relay's is checked against.",
    { commands: ["agent"], mustBeReadable: true },
  ),
  toCa: optional(
    "Agent",
    file(),
    "Node's own list",
    "Certificates in PEM that the one of an `https://` service is checked against.",
    { commands: ["agent"], mustBeReadable: true },
  ),
  maxStreams: setting("Agent", count(1, 65_536), 256, "Streams at a time; more are refused.", {
    commands: ["agent"],
  }),

  drainTime: setting(
    "Stopping and logs",
    duration(0, 24 * HOUR),
    30 * SECOND,
    "How long a stop waits for running requests.",
    { commands: ["relay", "agent"] },
  ),
  logLevel: setting(
    "Stopping and logs",
    choice(["trace", "debug", "info", "warn", "error", "silent"]),
    "info",
    "Least level of the lines that are written. The line of each request has level info.",
    { commands: ["relay", "agent", "dev"] },
  ),
} as const;

export type SettingName = keyof typeof SETTINGS;

/** The value of every setting. */
export type Values = {
  readonly [N in SettingName]: (typeof SETTINGS)[N] extends Setting<infer T> ? T : never;
};

/** `listenPort` → `--listen-port`. */
export function flagName(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `listenPort` → `HAWSER_LISTEN_PORT`. */
export function variableName(name: string): string {
  return `HAWSER_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** What a setting is when nobody says anything. */
export function defaultOf(setting: Setting<unknown>, command: SettingsCommand): unknown {
  return command in setting.defaults ? setting.defaults[command] : setting.default;
}

/** The settings of one command, in the order of the table. */
export function settingsOf(command: SettingsCommand): [SettingName, Setting<unknown>][] {
  return allSettings().filter(([, { commands }]) => commands.includes(command));
}

/** The whole table as a list. */
export function allSettings(): [SettingName, Setting<unknown>][] {
  return Object.entries(SETTINGS) as [SettingName, Setting<unknown>][];
}
