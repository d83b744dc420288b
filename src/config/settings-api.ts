import {
  address,
  choice,
  count,
  databaseUrl,
  duration,
  file,
  holdsPassword,
  list,
  multiline,
  port,
  text,
  toggle,
} from "./kinds.ts";
import { DAY, HOUR, MINUTE, optional, type SettingsCommand, setting } from "./setting.ts";
import { API_LIMITS } from "./settings-api-limits.ts";

const SERVERS: readonly SettingsCommand[] = ["api", "up"];
const commands = { commands: SERVERS };
const secret = { commands: SERVERS, secret: true };
const secretFile = { commands: SERVERS, mustBeReadable: true };
/** A list that is empty unless somebody fills it. */
const none = { commands: SERVERS, defaultText: "none" };

const LISTENING = {
  publicBaseUrl: optional(
    "API server",
    text("url"),
    "required",
    "Where people and programs find the API server, without a path: `https://hawser.example.org`. All its URLs are built from it, never from a request. Plain `http://` is for loopback alone.",
    commands,
  ),
  apiHost: setting(
    "API server",
    address(),
    "0.0.0.0",
    "Address of the API server's public listener.",
    commands,
  ),
  apiPort: setting(
    "API server",
    port(),
    3_721,
    "Port of the API server's public listener; 0 lets the system pick one.",
    { commands: ["api", "up", "dev"] },
  ),
  apiInternalHost: setting(
    "API server",
    address(),
    "127.0.0.1",
    "Address where the relay asks the API server. Other than loopback it demands an internal secret of 32 bytes or more.",
    commands,
  ),
  apiInternalPort: setting(
    "API server",
    port(),
    3_722,
    "Port where the relay asks the API server; 0 lets the system pick one.",
    { commands: ["api", "up", "dev"] },
  ),
  apiTlsCert: optional(
    "API server",
    file(),
    "plain HTTP",
    "Certificate chain in PEM. With `apiTlsKey`, the API server speaks TLS; both are read again on SIGHUP.",
    secretFile,
  ),
  apiTlsKey: optional(
    "API server",
    file(),
    "plain HTTP",
    "Private key in PEM, without a passphrase.",
    secretFile,
  ),
  corsOrigins: setting(
    "API server",
    list("origin,…", "origins such as https://app.example.org, separated by commas", isOrigin),
    [],
    "Origins of web applications on other hosts that may use a person's session.",
    none,
  ),
  relayInternalUrl: setting(
    "API server",
    text("url"),
    "http://127.0.0.1:3801",
    "The relay's internal API. Both have the same internal secret.",
    { commands: ["api"] },
  ),
  tunnelUrl: optional(
    "API server",
    text("url"),
    "port 3800 (`up`: `listenPort`) of the host of `publicBaseUrl`",
    "What devices are told to dial: `wss://relay.example.org`.",
    commands,
  ),
  edgeUrl: optional(
    "API server",
    text("url"),
    "the address of `tunnelUrl`, as `http://` or `https://`; none for an access proxy",
    "What callers are told to put before `/d/<device>`: `https://relay.example.org`. An access proxy reaches the destinations there that a device serves.",
    { commands: [...SERVERS, "access-proxy"] },
  ),
  auditLog: optional(
    "API server",
    text("file"),
    "the database alone",
    "File that audit events are appended to as JSON lines, besides the database; `-` is standard output. Opened again on SIGHUP.",
    commands,
  ),
} as const;

const SIGN_IN = {
  oidcIssuer: optional(
    "Sign-in",
    text("url"),
    "required",
    "The OpenID provider that people sign in at, as it names itself. Not the address of its metadata.",
    commands,
  ),
  oidcClientId: optional(
    "Sign-in",
    text("id"),
    "required",
    "Our client id at the provider. Its redirect URI is `<publicBaseUrl>/api/auth/callback`, the one after a logout `<publicBaseUrl>/api/auth/logged-out`, its back-channel logout URI `<publicBaseUrl>/api/auth/backchannel-logout`.",
    commands,
  ),
  oidcClientAuth: optional(
    "Sign-in",
    choice(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]),
    "`client_secret_basic` where there is a secret; else required",
    "How we prove ourselves to the provider. `none` is a public client, which PKCE alone protects.",
    commands,
  ),
  oidcClientSecret: optional(
    "Sign-in",
    text("secret"),
    "the file",
    "Our secret at the provider. Taken from the variable alone; wins over the file.",
    secret,
  ),
  oidcClientSecretFile: optional(
    "Sign-in",
    file(),
    "none",
    "File with our secret at the provider.",
    secretFile,
  ),
  oidcClientPrivateKey: optional(
    "Sign-in",
    multiline("pem"),
    "the file",
    "Key for `private_key_jwt`, PKCS#8 in PEM. Taken from the variable alone; wins over the file.",
    secret,
  ),
  oidcClientPrivateKeyFile: optional(
    "Sign-in",
    file(),
    "none",
    "File with the key for `private_key_jwt`.",
    secretFile,
  ),
  oidcClientKeyId: optional(
    "Sign-in",
    text("id"),
    "none",
    "The `kid` that the provider knows that key by.",
    commands,
  ),
  oidcScopes: setting(
    "Sign-in",
    text("scopes"),
    "openid profile email",
    "What is asked for, separated by spaces.",
    commands,
  ),
  oidcAlgs: setting(
    "Sign-in",
    text("algs"),
    "RS256,PS256,ES256,EdDSA",
    "Signature algorithms that tokens of the provider may have, separated by commas.",
    commands,
  ),
  oidcClockToleranceSec: setting(
    "Sign-in",
    count(0, 120),
    30,
    "Seconds by which the provider's clock may differ from ours.",
    commands,
  ),
  oidcAllowInsecure: setting(
    "Sign-in",
    toggle(),
    false,
    "Speak plain HTTP to a provider on loopback. For trials.",
    commands,
  ),
  oidcAssumeS256: setting(
    "Sign-in",
    toggle(),
    false,
    "Take it for granted that the provider knows PKCE with S256, where its metadata does not say so.",
    commands,
  ),
  oidcTenantClaim: optional(
    "Sign-in",
    text("claim"),
    "every person is a tenant of their own",
    "Claim of the ID token that names the tenant. Whoever has none is not let in.",
    commands,
  ),
  oidcRoleClaim: optional(
    "Sign-in",
    text("claim"),
    "with `oidcTenantClaim` everybody is a member until `hawser admin users role` says otherwise; without it everybody administers the tenant that they are",
    "Claim of the ID token that says who administers the tenant; of use with `oidcTenantClaim`.",
    commands,
  ),
  adminRole: setting(
    "Sign-in",
    text("role"),
    "admin",
    "The value of `oidcRoleClaim`, or one in its list, that makes an administrator.",
    commands,
  ),
  oidcRefresh: setting(
    "Sign-in",
    toggle(),
    false,
    "Ask the provider for a refresh token.",
    commands,
  ),
  oidcRtRotation: optional(
    "Sign-in",
    choice(["confirmed"]),
    "not confirmed",
    "Says that the provider replaces a public client's refresh token at each use; without it a public client asks for none.",
    commands,
  ),
  oidcIdTokenHint: setting(
    "Sign-in",
    toggle(),
    true,
    "Send the ID token along to the provider's logout page, so that it need not ask.",
    commands,
  ),
  oidcLogoutTypOptional: setting(
    "Sign-in",
    toggle(),
    false,
    "Take the provider's logout tokens without a `typ`.",
    commands,
  ),
  apiJwtIssuers: optional(
    "Sign-in",
    text("issuers"),
    "none",
    "Issuers whose access tokens registered machine clients may present, separated by commas.",
    commands,
  ),
  apiJwtAudience: optional(
    "Sign-in",
    text("audience"),
    "none",
    "The audience that such access tokens must have; required with `apiJwtIssuers`.",
    commands,
  ),
  serviceClientId: optional(
    "Sign-in",
    text("id"),
    "none",
    "Client id that the API server itself fetches tokens with, by client credentials.",
    commands,
  ),
  serviceClientSecret: optional(
    "Sign-in",
    text("secret"),
    "the file",
    "Its secret. Taken from the variable alone; wins over the file.",
    secret,
  ),
  serviceClientSecretFile: optional("Sign-in", file(), "none", "File with it.", secretFile),
  serviceClientAuth: setting(
    "Sign-in",
    choice(["client_secret_basic", "client_secret_post"]),
    "client_secret_basic",
    "How that client proves itself.",
    commands,
  ),
  serviceClientScope: optional(
    "Sign-in",
    text("scopes"),
    "what the provider gives by itself",
    "What that client asks for, separated by spaces.",
    commands,
  ),
  serviceClientResource: optional(
    "Sign-in",
    text("url"),
    "none",
    "What its tokens are for, where the provider asks (RFC 8707).",
    commands,
  ),
} as const;

const STORAGE = {
  databaseUrl: optional(
    "Secrets and storage",
    databaseUrl(),
    "`sqlite:hawser.db` in `dataDir`",
    "`sqlite:<path>`, or `postgres://user@host/database` for more than one API server. One with a password is taken from the variable or the file alone.",
    { ...commands, holdsSecret: holdsPassword },
  ),
  databaseUrlFile: optional(
    "Secrets and storage",
    file(),
    "none",
    "File with the database's URL.",
    secretFile,
  ),
  sessionSecrets: optional(
    "Secrets and storage",
    multiline("keys"),
    "the file",
    "Keys that sign session cookies: `k2:<key>,k1:<key>`, each at least 32 random bytes in base64 or hex. The first signs, all verify. Taken from the variable alone; wins over the file.",
    secret,
  ),
  sessionSecretsFile: optional(
    "Secrets and storage",
    file(),
    "`session.keys` in `dataDir`; `up` makes it at the first start",
    "File with the keys that sign session cookies.",
    secretFile,
  ),
  tokenEncKeys: optional(
    "Secrets and storage",
    multiline("keys"),
    "the file",
    "Keys that encrypt the provider's tokens in the database, written likewise. The first encrypts, all decrypt. Taken from the variable alone; wins over the file.",
    secret,
  ),
  tokenEncKeysFile: optional(
    "Secrets and storage",
    file(),
    "`token-encryption.keys` in `dataDir`; `up` makes it at the first start",
    "File with the keys that encrypt the provider's tokens.",
    secretFile,
  ),
} as const;

const SESSIONS = {
  sessionIdle: setting(
    "Sessions, tokens and keys",
    duration(2 * MINUTE, 30 * DAY),
    30 * MINUTE,
    "A session that nobody used for so long ends.",
    commands,
  ),
  sessionAbsolute: setting(
    "Sessions, tokens and keys",
    duration(MINUTE, 30 * DAY),
    12 * HOUR,
    "A session ends after this time however much it is used.",
    commands,
  ),
  sessionEndsWithIdToken: setting(
    "Sessions, tokens and keys",
    toggle(),
    false,
    "A session also ends with the ID token that it began with.",
    commands,
  ),
  sessionPersistent: setting(
    "Sessions, tokens and keys",
    toggle(),
    false,
    "The session's cookie outlives the browser.",
    commands,
  ),
  sessionsPerUserMax: setting(
    "Sessions, tokens and keys",
    count(1, 1_000),
    10,
    "Sessions of one person at once; a further one ends the oldest.",
    commands,
  ),
  pairingCodeLifetime: setting(
    "Sessions, tokens and keys",
    duration(MINUTE, DAY),
    10 * MINUTE,
    "How long a pairing code can be used.",
    commands,
  ),
  pairingNeedsApproval: setting(
    "Sessions, tokens and keys",
    toggle(),
    false,
    "A device that was paired by a code connects, and nobody can call it until a person has seen its model and address and approved it. Devices that enrol by a key need none.",
    commands,
  ),
  deviceTokenLifetime: optional(
    "Sessions, tokens and keys",
    duration(HOUR, 3_660 * DAY),
    "no end",
    "How long a device token is good. Our agent gets a new one in time; other devices cannot.",
    commands,
  ),
  confirmCrossSiteStart: setting(
    "Sessions, tokens and keys",
    toggle(),
    true,
    "A person confirms a sign-in that another site began.",
    commands,
  ),
} as const;

/** The rows of the API server, in the order of help and documents. */
export const API_SETTINGS = {
  ...LISTENING,
  ...SIGN_IN,
  ...STORAGE,
  ...SESSIONS,
  ...API_LIMITS,
} as const;

function isOrigin(item: string): boolean {
  return URL.canParse(item) && new URL(item).origin === item && /^https?:/.test(item);
}
