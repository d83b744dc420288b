import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { AccessProxyAppOptions, AccessProxyOptions } from "../access-proxy/index.ts";
import { type BaseUrlFault, parseBaseUrl } from "../core/base-url.ts";
import type { ConfigProblem } from "../core/errors.ts";
import { statIfThere } from "../core/folder.ts";
import type { Environment } from "./api.ts";
import { dataFolder, givenSecret } from "./secret-files.ts";
import { type SettingName, type Values, variableName } from "./settings.ts";

const REQUIRED: readonly (readonly [SettingName, string])[] = [
  ["selfId", "the id of the TA that calls, such as https://ta.example.org"],
  [
    "signingKeys",
    "the folder of the TA's private keys; hawser access-proxy keys new --folder <folder> makes one",
  ],
  ["idps", "a JSON file of ID providers; docs/access-proxy.md shows one"],
];

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|::1)$/;
const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const URL_PATH = /^\/[!-"$-;=@-[\]-~]*$/;
const SECRET_BYTES_MIN = 32;

const EDGE_FAULTS: Readonly<Record<BaseUrlFault, string>> = {
  "no URL": "wanted a URL such as https://relay.example.org",
  scheme: "wanted a URL that starts with http:// or https://",
  credentials: "wanted a URL without user name and password",
  query: "wanted a URL without query and fragment",
};

/** Settings of the access proxy that are missing or do not go together. Looks into no file. */
export function accessProxySettingsProblems(values: Values): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const report = (setting: SettingName, problem: string): void => {
    problems.push({ setting, problem });
  };
  for (const [name, meaning] of REQUIRED) {
    if (values[name] === null) report(name, `required (${variableName(name)}): ${meaning}`);
  }
  const { destinations, allowAnyDestination, listenSocket, listenHost, callers } = values;
  if (destinations === null && !allowAnyDestination) {
    const variable = variableName("destinations");
    report(
      "destinations",
      `required (${variable}): a JSON file of what may be called; docs/access-proxy.md shows one`,
    );
  }
  if (destinations !== null && allowAnyDestination) {
    report("allowAnyDestination", "not together with --destinations");
  }
  if (listenSocket === null && !LOOPBACK.test(listenHost) && callers === null) {
    report("callers", "required where listenHost is not loopback: who calls must have a secret");
  }
  if (listenSocket === null && values.listenPort !== 0) {
    const isSame = values.listenPort === values.internalPort;
    if (isSame) report("internalPort", "the same as listenPort; each listener wants its own");
  }
  if (!COOKIE_NAME.test(values.sessLabel)) report("sessLabel", "wanted the name of a cookie");
  for (const name of ["pathProx", "pathOk"] as const) {
    if (!URL_PATH.test(values[name])) report(name, "wanted a path that begins with /");
  }
  if (values.pathProx === values.pathOk) report("pathOk", "the same as pathProx");
  checkFolder(values.tempDir, (problem) => report("tempDir", problem));
  checkEdge(values, report);
  return problems;
}

function checkFolder(path: string | null, report: (problem: string) => void): void {
  if (path === null) return;
  try {
    if (statIfThere(path)?.isDirectory() !== true) report(`${path} is no folder`);
  } catch {
    report(`${path} cannot be looked at`);
  }
}

function checkEdge(values: Values, report: (name: SettingName, problem: string) => void): void {
  const { edgeUrl, edgeKey, edgeKeyFile } = values;
  const hasKey = edgeKey !== null || edgeKeyFile !== null;
  // A file of settings that serves the API server as well may have the URL for it.
  if (edgeUrl === null) {
    if (hasKey) report("edgeUrl", "required where there is a key for it");
    return;
  }
  const parsed = parseBaseUrl(edgeUrl);
  if (!parsed.ok) report("edgeUrl", EDGE_FAULTS[parsed.fault]);
  else if (hasKey && parsed.prefix !== "") report("edgeUrl", "wanted a URL without a path");
}

/** Sentences about settings that can be used and should be looked at. */
export function accessProxyWarnings(values: Values, environment: Environment): string[] {
  const warnings: string[] = [];
  const { listenSocket, listenHost } = values;
  if (listenSocket === null && !LOOPBACK.test(listenHost)) {
    warnings.push(
      "Callers say their secrets over plain HTTP; put a TLS terminator in front, or keep the network closed.",
    );
  }
  if (environment["NODE_TLS_REJECT_UNAUTHORIZED"] === "0") {
    warnings.push("NODE_TLS_REJECT_UNAUTHORIZED=0 switches every check of certificates off.");
  }
  return warnings;
}

/** Problem of the internal listener and its secret, or none. */
export function internalListenerProblems(values: Values, secret: string): ConfigProblem[] {
  const isOpen = !LOOPBACK.test(values.internalHost);
  if (!isOpen || Buffer.byteLength(secret) >= SECRET_BYTES_MIN) return [];
  const problem = `on another address than loopback the internal secret must have ${SECRET_BYTES_MIN} bytes or more`;
  return [{ setting: "internalHost", problem }];
}

/**
 * How destinations behind devices are reached; null where there is no key for the edge.
 *
 * @throws ConfigError where the file of the key cannot be read
 */
export function edgeAccess(values: Values): AccessProxyOptions["edge"] {
  const key = givenSecret(values, "edgeKey");
  const { edgeUrl } = values;
  return key === null || edgeUrl === null ? null : { url: new URL(edgeUrl), key: key.text };
}

/**
 * The access proxy's options from checked settings.
 *
 * @throws ConfigError where a file with a secret cannot be read
 */
export function accessProxyOptions(
  values: Values,
  internalSecret: string,
  environment: Environment,
): AccessProxyAppOptions {
  const { accessProxyCa } = values;
  return {
    proxy: {
      selfId: values.selfId ?? "",
      sigAlg: values.sigAlg,
      sigKid: values.sigKid ?? "",
      hashAlg: values.hashAlg,
      sessLabel: values.sessLabel,
      sessDbExpInMs: values.sessDbExpIn,
      sessMarginMs: values.sessMargin,
      sessionForRelatedUsers: values.sessionForRelatedUsers,
      stripSessionCookie: values.stripSessionCookie,
      jtiLen: values.jtiLen,
      jtiExpInMs: values.jtiExpIn,
      fileThres: values.fileThres,
      fileMax: values.fileMax,
      tempFolder: values.tempDir ?? tmpdir(),
      verifyCodeTokens: values.verifyCodeTokens,
      keySetCacheMs: values.keySetCache,
      idpTimeoutMs: values.idpTimeout,
      idpAnswerBytesMax: values.idpAnswerMax,
      connectTimeoutMs: values.connectTimeout,
      headTimeoutMs: values.headTimeout,
      edge: edgeAccess(values),
      ca:
        accessProxyCa === null || !existsSync(accessProxyCa)
          ? null
          : readFileSync(accessProxyCa, "utf8"),
    },
    listenHost: values.listenHost,
    listenPort: values.listenPort,
    listenSocket: values.listenSocket,
    hosts: values.accessProxyHosts.map((host) => host.toLowerCase()),
    pathProx: values.pathProx,
    pathOk: values.pathOk,
    internalHost: values.internalHost,
    internalPort: values.internalPort,
    internalSecret,
    signingKeys: values.signingKeys ?? "",
    idps: values.idps ?? "",
    destinations: values.destinations,
    allowAnyDestination: values.allowAnyDestination,
    callers: values.callers,
    folder: dataFolder(values.dataDir, environment),
    sessionsMax: values.targetSessionsMax,
    tokensMax: values.accessTokensMax,
    drainMs: values.drainTime,
  };
}
