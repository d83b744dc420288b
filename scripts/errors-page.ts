import { ACCESS_PROXY_STORE_ERRORS } from "../src/access-proxy/index.ts";
import { AGENT_ERRORS } from "../src/agent/index.ts";
import { AUTH_ERRORS } from "../src/api/auth/index.ts";
import { CLI_LOGIN_ERRORS } from "../src/api/cli-login/index.ts";
import { DEVICE_ERRORS } from "../src/api/devices/index.ts";
import { FORWARD_ERRORS } from "../src/api/forward/index.ts";
import { API_ERRORS, type ApiErrorRow, RELAY_CLIENT_ERRORS } from "../src/api/index.ts";
import { KEY_ERRORS } from "../src/api/keys/index.ts";
import { OIDC_ERRORS } from "../src/api/oidc/index.ts";
import { STORE_ERRORS } from "../src/api/store/index.ts";
import { CLI_ERRORS } from "../src/cli/errors.ts";
import { MUX_ERRORS } from "../src/mux/index.ts";
import { HTTP1_ERRORS } from "../src/relay/http1/index.ts";
import { GATE_ERRORS, RELAY_ERRORS, SESSION_STORE_ERRORS } from "../src/relay/index.ts";
import { accessProxyTable } from "./access-proxy-errors.ts";

type Texts = Readonly<Record<string, string>>;

/** Codes that are raised in one place each and have no table of their own. */
const CORE_ERRORS: Texts = {
  ERR_CONFIG_INVALID: "The configuration cannot be used. `problems` has every problem found.",
  ERR_ASSERTION: "Hawser itself is wrong: an invariant of its own does not hold. Please report it.",
};

const UWS_ERRORS: Texts = {
  ERR_UWS_NOT_INSTALLED: "The package uWebSockets.js is not installed.",
  ERR_UWS_UNSUPPORTED: "There is no binary for this system and this version of Node.",
  ERR_UWS_GLIBC_TOO_OLD: "The system's glibc is older than 2.36.",
  ERR_UWS_UNKNOWN_BINARY:
    "The binary wants a newer glibc and is not one that the relay knows how to adapt.",
  ERR_UWS_ELF: "The binary has not the shape that can be adapted.",
  ERR_UWS_CACHE_FOLDER:
    "No folder can hold the adapted copy, and the plain file does not load; `HAWSER_CACHE_DIR` names one.",
  ERR_UWS_CACHE_MISMATCH: "The adapted copy has not the digest that is on record for it.",
  ERR_UWS_HEAD_LIMIT: "One process asked for two different limits of request heads.",
  ERR_UWS_LOAD: "The binary cannot be loaded for another reason; the message has it.",
};

/** What the agent reports where the network gave no code. */
const AGENT_NETWORK_ERRORS: Texts = {
  ERR_WEBSOCKET_HANDSHAKE: "The handshake with the relay failed, and the system gave no reason.",
  ERR_SOCKET: "The connection to the local service failed, and the system gave no reason.",
  ERR_SOCKET_CLOSED: "The local service closed the connection before the response was complete.",
};

const INTRODUCTION = `# Errors

<!-- Made from the tables in the source by \`npm run docs\`. Change those, not this page. -->

Every error has a \`code\`. Codes are stable: match on them, never on messages.

## Answers of the relay

The relay answers a failure with problem JSON (RFC 9457, \`application/problem+json\`):

\`\`\`json
{
  "type": "about:blank",
  "title": "Service Unavailable",
  "status": 503,
  "detail": "The device is not connected.",
  "code": "ERR_RELAY_OFFLINE",
  "stage": "offline",
  "retriable": true,
  "request_id": "…"
}
\`\`\`

\`stage\` says how far the request came: \`request\` is the caller's own doing, \`no_device\`, \`offline\`, \`limited\` and
\`overloaded\` stopped it before a device saw it, \`open\` is a stream or a response head that failed, \`first_byte\` a
device that was too slow, \`mid_stream\` a response that broke off. \`retriable\` is true where the same request may
succeed later. 503 and 429 carry \`Retry-After\`. A response that breaks off after its head is never passed off as
complete: the client's connection is aborted, and the code stands in the relay's log alone.
`;

/** The whole text of `docs/errors.md`. */
export function errorsMarkdown(): string {
  return [
    INTRODUCTION,
    relayTable(),
    section(
      "Requests and responses that break the rules of HTTP/1.1",
      "A request is answered with 400, 414 or 501. A device's response is answered with 502, `ERR_RELAY_RESPONSE_INVALID`, and the exact code stands in the log.",
      HTTP1_ERRORS,
    ),
    apiTable(),
    forwardTable(),
    accessProxyAnswers(),
    section(
      "The stores of the access proxy",
      "In its log, and of the library's `openTokenStore`.",
      ACCESS_PROXY_STORE_ERRORS,
    ),
    section("Sessions", "Of the store behind the internal API.", SESSION_STORE_ERRORS),
    section(
      "Asking the API server",
      "In the log of a relay that runs with `--api`, when the API server is away.",
      GATE_ERRORS,
    ),
    section(
      "The relay's client in the API server",
      "Of its calls to the internal API; `call`, `status` and `cause` say more.",
      RELAY_CLIENT_ERRORS,
    ),
    section(
      "The multiplexer",
      "In logs of relay and agent, and on streams of the library `hawser/mux`.",
      MUX_ERRORS,
    ),
    section(
      "The storage of the API server",
      "What its functions raise; the server's answers have codes of their own.",
      STORE_ERRORS,
    ),
    section("The agent", "In its log lines, its events and the promises of `hawser/agent`.", {
      ...AGENT_ERRORS,
      ...AGENT_NETWORK_ERRORS,
    }),
    section(
      "Signing in",
      "Of the identity provider's side of the API server: sign-in, sign-out and machine tokens.",
      Object.fromEntries(Object.entries(OIDC_ERRORS).map(([code, { text }]) => [code, text])),
    ),
    section("Loading uWebSockets.js", "When the relay starts.", UWS_ERRORS),
    section("The command line", "`error.code` with `--json`.", CLI_ERRORS),
    section("Everywhere", "", CORE_ERRORS),
  ].join("\n");
}

function relayTable(): string {
  const rows = Object.entries(RELAY_ERRORS).map(
    ([code, { status, stage, retriable, text }]) =>
      `| \`${code}\` | ${status} | \`${stage}\` | ${retriable ? "yes" : "no"} | ${text} |`,
  );
  const head = [
    "| code | status | stage | retriable | meaning |",
    "| --- | --- | --- | --- | --- |",
  ];
  return `${[...head, ...rows].join("\n")}\n`;
}

function apiTable(): string {
  const tables = {
    ...API_ERRORS,
    ...AUTH_ERRORS,
    ...DEVICE_ERRORS,
    ...CLI_LOGIN_ERRORS,
    ...KEY_ERRORS,
  };
  const lead =
    "Problem JSON as well, with `code`, `retriable` and `request_id`; pages that a person sees answer in HTML. `issues` says which members of a query or body do not fit, and never repeats them.";
  return `## Answers of the API server\n\n${lead}\n\n${answersTable(tables)}\n`;
}

function forwardTable(): string {
  const lead =
    "Of requests to the services of devices through the API. What the relay answers for itself is passed on, with its own code.";
  return `## Requests to devices through the API\n\n${lead}\n\n${answersTable(FORWARD_ERRORS)}\n`;
}

function accessProxyAnswers(): string {
  const lead =
    "The body is an OAuth 2.0 error, `error` and `error_description`; the latter stands in `X-Access-Proxy-Error`, too, which tells these answers from those of the destination. The code is in the log and in the metrics.";
  const unread =
    "Heads that cannot be read, without `Host`, or with another `Transfer-Encoding` than `chunked` are 400 `request is malformed`, those " +
    "over 192 KiB 431 `request head is too large`: in the same form, and before there is a call that log or metrics could name.";
  return `## Answers of the access proxy\n\n${lead}\n\n${accessProxyTable()}\n\n${unread}\n`;
}

function answersTable(errors: Readonly<Record<string, ApiErrorRow>>): string {
  const rows = Object.entries(errors).map(
    ([code, { status, retriable, text }]) =>
      `| \`${code}\` | ${status} | ${retriable ? "yes" : "no"} | ${text} |`,
  );
  const head = ["| code | status | retriable | meaning |", "| --- | --- | --- | --- |"];
  return [...head, ...rows].join("\n");
}

function section(title: string, text: string, errors: Texts): string {
  const rows = Object.entries(errors).map(
    ([code, meaning]) => `| \`${code}\` | ${sentence(meaning)} |`,
  );
  const head = ["| code | meaning |", "| --- | --- |"];
  const lead = text === "" ? "" : `${text}\n\n`;
  return `## ${title}\n\n${lead}${[...head, ...rows].join("\n")}\n`;
}

/** Tables hold phrases and sentences alike; the page has sentences. */
function sentence(text: string): string {
  const first = text.startsWith("`") ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return first.endsWith(".") ? first : `${first}.`;
}
