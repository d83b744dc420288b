import {
  ACCESS_PROXY_ERRORS,
  type AccessProxyErrorCode,
  type AccessProxyErrorRow,
} from "../src/access-proxy/index.ts";

/** What stands behind an answer of the access proxy, and what to look at. */
const MEANINGS: Readonly<Record<AccessProxyErrorCode, string>> = {
  ERR_ACCESS_PROXY_NO_TARGET: "The backend left the field out, or empty.",
  ERR_ACCESS_PROXY_TARGET:
    "No absolute `http` or `https` URI, one with user info, or the field stands twice.",
  ERR_ACCESS_PROXY_DESTINATION:
    "No entry of `destinations` has this origin, this TA and this path; or the name leads to an address that is not public, without `allowPrivate`.",
  ERR_ACCESS_PROXY_NO_USERS: "The backend left the field out, or empty.",
  ERR_ACCESS_PROXY_USERS: "Not a JWT of three parts whose claims are an object of objects.",
  ERR_ACCESS_PROXY_USERS_SIGNED: "Its `alg` must be `none`, and its third part empty.",
  ERR_ACCESS_PROXY_NO_ISS: "An account without `at_tag` needs the id of its ID provider.",
  ERR_ACCESS_PROXY_NO_SUB: "An account without `at_tag` needs its id at the ID provider.",
  ERR_ACCESS_PROXY_NO_PRINCIPAL: "No account has an `at_tag`: one must.",
  ERR_ACCESS_PROXY_TWO_PRINCIPALS: "Several accounts have an `at_tag`: one may.",
  ERR_ACCESS_PROXY_ACCOUNTS_MAX: "A call concerns 32 accounts at the most.",
  ERR_ACCESS_PROXY_TAG:
    "A tag has 1 to 128 characters and no control characters; `at_tag`, `iss` and `sub` have at most 1,024.",
  ERR_ACCESS_PROXY_SELF: "The TA that is called has the `selfId` of this proxy.",
  ERR_ACCESS_PROXY_NO_TOKEN:
    "Nothing is stored for the `at_tag` of this caller, or it was stored with another key: `hawser access-proxy token list`.",
  ERR_ACCESS_PROXY_TOKEN_EXPIRED: "There is no refresh: the user signs in again.",
  ERR_ACCESS_PROXY_MAIN_IDP: "The issuer of the principal's token is not in `idps`.",
  ERR_ACCESS_PROXY_SUB_IDP: "The `iss` of a related account is not in `idps`.",
  ERR_ACCESS_PROXY_SIGNING: "No private key fits `sigAlg` and `sigKid`, or it cannot sign.",
  ERR_ACCESS_PROXY_IDP_UNREACHABLE:
    "No connection, a certificate that is not trusted, or no answer within `idpTimeout`; the log has the cause.",
  ERR_ACCESS_PROXY_IDP_STATUS:
    "The ID provider refused; the text has its status and its OAuth error: `invalid_client` mostly means that it does not know the public key.",
  ERR_ACCESS_PROXY_IDP_ANSWER:
    "Its answer is not JSON, over `idpAnswerMax`, or lacks code token or referral.",
  ERR_ACCESS_PROXY_CODE_TOKEN:
    "The code token does not say what was asked for, or its signature is not that of the provider's keys.",
  ERR_ACCESS_PROXY_UNREACHABLE:
    "No such name, no connection, none within `connectTimeout`, or one that was reset; or the destination is behind a device and there is no `edgeKey`.",
  ERR_ACCESS_PROXY_BAD_ANSWER:
    "A certificate that is not trusted, malformed HTTP, or a connection that ended without an answer.",
  ERR_ACCESS_PROXY_TIMEOUT: "No head of an answer within `headTimeout`.",
  ERR_ACCESS_PROXY_NO_REPLAY:
    "The session was refused, and the body is larger than `fileThres` and `fileMax` keep: the next attempt goes without the session.",
  ERR_ACCESS_PROXY_CALLER:
    "Not from this machine; or, with `callers`, no known secret in `Proxy-Authorization`; or `Host` is no name of the listener.",
  ERR_ACCESS_PROXY_METHOD: "`CONNECT` and `TRACE` are not forwarded.",
  ERR_ACCESS_PROXY_INTERNAL: "Stores that fail, or a defect; the log has the cause.",
  ERR_ACCESS_PROXY_ENDPOINT: "The path is not below `pathProx`.",
};

/** The table of what the access proxy answers. */
export function accessProxyTable(): string {
  const rows = Object.entries(ACCESS_PROXY_ERRORS).map(([code, row]) => {
    const { status, error, text }: AccessProxyErrorRow = row;
    const meaning = MEANINGS[code as AccessProxyErrorCode];
    return `| \`${code}\` | ${status} | \`${error}\` | ${text.replaceAll("{}", "…")} | ${meaning} |`;
  });
  const head = [
    "| code | status | `error` | `X-Access-Proxy-Error` | meaning |",
    "| --- | --- | --- | --- | --- |",
  ];
  return [...head, ...rows].join("\n");
}
