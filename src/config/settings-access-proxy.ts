import type { HashAlgorithm } from "../access-proxy/index.ts";
import { SIGNING_ALGORITHMS } from "../core/signing-algorithms.ts";
import { choice, count, duration, file, list, multiline, size, text, toggle } from "./kinds.ts";
import {
  DAY,
  GIB,
  HOUR,
  KIB,
  MANY,
  MIB,
  MINUTE,
  optional,
  SECOND,
  type SettingsCommand,
  setting,
} from "./setting.ts";

const PROXY: readonly SettingsCommand[] = ["access-proxy"];
const commands = { commands: PROXY };
const readable = { commands: PROXY, mustBeReadable: true };

const HASHES = ["SHA256", "SHA384", "SHA512"] as const satisfies readonly HashAlgorithm[];

const PARTIES = {
  listenSocket: optional(
    "Access proxy",
    text("path"),
    "`listenHost` and `listenPort`",
    "Unix socket to listen on in place of a port. Its mode is 0600: who may open it may call.",
    commands,
  ),
  accessProxyHosts: setting(
    "Access proxy",
    list(
      "host,…",
      "values of Host such as proxy.internal:16050, separated by commas",
      (item) => /^[^\s/@]+$/.test(item) && URL.canParse(`http://${item}`),
    ),
    [],
    "What callers may say in `Host` beside the names of the listener itself (`localhost`, `127.0.0.1`, `[::1]` and `listenHost`, with the port). Other names are refused: a browser could have been led here by one.",
    { commands: PROXY, defaultText: "none" },
  ),
  selfId: optional("Access proxy", text("id"), "required", "Id of the TA that calls.", commands),
  signingKeys: optional(
    "Access proxy",
    text("folder"),
    "required",
    "Folder of the TA's private keys: `.json` (JWKs) and `.pem` or `.key` files. Read again when it changes.",
    commands,
  ),
  sigAlg: setting(
    "Access proxy",
    choice(SIGNING_ALGORITHMS),
    "RS256",
    "Algorithm that client assertions are signed with.",
    commands,
  ),
  sigKid: optional(
    "Access proxy",
    text("kid"),
    "the first key that fits, and no `kid` in what is signed",
    "Key id of the key that signs.",
    commands,
  ),
  hashAlg: setting(
    "Access proxy",
    choice(HASHES),
    "SHA256",
    "Hash algorithm of accounts and referrals.",
    commands,
  ),
  idps: optional(
    "Access proxy",
    file(),
    "required",
    "JSON file of ID providers. Read again when it changes.",
    readable,
  ),
  destinations: optional(
    "Access proxy",
    file(),
    "required, unless `allowAnyDestination` is on",
    "JSON file of the destinations that may be called. Read again when it changes.",
    readable,
  ),
  allowAnyDestination: setting(
    "Access proxy",
    toggle(),
    false,
    "For tests alone: every destination may be called, addresses of this network included.",
    commands,
  ),
  callers: optional(
    "Access proxy",
    file(),
    "whoever calls from this machine is trusted",
    "JSON file of callers, each with the digest of its secret. Read again when it changes. Another `listenHost` than loopback demands it.",
    readable,
  ),
  accessProxyCa: optional(
    "Access proxy",
    file(),
    "Node's own list alone",
    "Certificates in PEM, beside those of Node's list, that ID providers and destinations are checked against.",
    readable,
  ),
  verifyCodeTokens: setting(
    "Access proxy",
    toggle(),
    true,
    "Signatures of code tokens are checked where the ID provider's keys are known.",
    commands,
  ),
  edgeKeyFile: optional(
    "Access proxy",
    file(),
    "none",
    "File with the API key for the edge of the relay, for destinations that a device serves.",
    readable,
  ),
  edgeKey: optional(
    "Access proxy",
    multiline("key"),
    "the file",
    "The API key for the edge itself. Taken from the variable alone.",
    { commands: PROXY, secret: true },
  ),
} as const;

const CALLS = {
  pathProx: setting(
    "Calls of the access proxy",
    text("path"),
    "/",
    "Path where calls are taken, and all below it.",
    commands,
  ),
  pathOk: setting(
    "Calls of the access proxy",
    text("path"),
    "/ok",
    "Path that answers 200 with an empty body.",
    commands,
  ),
  sessLabel: setting(
    "Calls of the access proxy",
    text("name"),
    "Edo-Cooperation",
    "Name of the cookie that a destination's session comes and goes in.",
    commands,
  ),
  sessDbExpIn: setting(
    "Calls of the access proxy",
    duration(MINUTE, 366 * DAY),
    14 * DAY,
    "A session is kept so long at the most.",
    commands,
  ),
  sessMargin: setting(
    "Calls of the access proxy",
    duration(0, HOUR),
    10 * SECOND,
    "A session that ends sooner than this is not used any more.",
    commands,
  ),
  sessionForRelatedUsers: setting(
    "Calls of the access proxy",
    toggle(),
    false,
    "A session serves calls with related accounts, too.",
    commands,
  ),
  stripSessionCookie: setting(
    "Calls of the access proxy",
    toggle(),
    false,
    "The `Set-Cookie` of the session is not passed on to the caller.",
    commands,
  ),
  jtiLen: setting(
    "Calls of the access proxy",
    count(16, 128),
    20,
    "Characters of the id of a client assertion.",
    commands,
  ),
  jtiExpIn: setting(
    "Calls of the access proxy",
    duration(10 * SECOND, DAY),
    5 * MINUTE,
    "How long a client assertion is good.",
    commands,
  ),
  fileThres: setting(
    "Calls of the access proxy",
    size(0, GIB),
    128 * KIB,
    "Bytes of a request's body that are kept in memory for sending it again; 0: all.",
    commands,
  ),
  fileMax: setting(
    "Calls of the access proxy",
    size(0, 1_024 * GIB),
    4 * MIB,
    "Bytes beyond those that are kept in a temporary file; 0: all.",
    commands,
  ),
  tempDir: optional(
    "Calls of the access proxy",
    text("folder"),
    "that of the system",
    "Folder of temporary files. They have mode 0600 and no name once they are open.",
    commands,
  ),
  keySetCache: setting(
    "Calls of the access proxy",
    duration(MINUTE, 7 * DAY),
    HOUR,
    "How long the fetched keys of an ID provider are good.",
    commands,
  ),
  idpTimeout: setting(
    "Calls of the access proxy",
    duration(100, 10 * MINUTE),
    10 * SECOND,
    "How long an ID provider has for its answer.",
    commands,
  ),
  idpAnswerMax: setting(
    "Calls of the access proxy",
    size(KIB, 64 * MIB),
    256 * KIB,
    "Size of an ID provider's answer at the most.",
    commands,
  ),
  connectTimeout: setting(
    "Calls of the access proxy",
    duration(100, 10 * MINUTE),
    10 * SECOND,
    "How long connecting to a destination may take.",
    commands,
  ),
  headTimeout: setting(
    "Calls of the access proxy",
    duration(0, DAY),
    MINUTE,
    "How long a destination has for the head of its answer; 0: as long as it takes.",
    commands,
  ),
  targetSessionsMax: setting(
    "Calls of the access proxy",
    count(1, MANY),
    100_000,
    "Sessions that are kept; the one that ends first makes room.",
    commands,
  ),
  accessTokensMax: setting(
    "Calls of the access proxy",
    count(1, MANY),
    1_000_000,
    "Access tokens that are kept; more are refused.",
    commands,
  ),
} as const;

/** The rows of the access proxy, in the order of help and documents. */
export const ACCESS_PROXY_SETTINGS = { ...PARTIES, ...CALLS } as const;
