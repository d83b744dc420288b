import type { SigningAlgorithm } from "../core/signing-algorithms.ts";
import type { DestinationPolicy } from "./destinations.ts";
import type { EdgeAccess } from "./edge.ts";
import type { HashAlgorithm } from "./half-hash.ts";

/**
 * Everything that an access proxy is told. Times in milliseconds, sizes in bytes.
 *
 * @see TA cooperation, sections 11 and 12.1
 */
export interface AccessProxyOptions {
  /** Id of the TA that calls. */
  readonly selfId: string;
  readonly sigAlg: SigningAlgorithm;
  /** Empty for any key, and no `kid` in what is signed. */
  readonly sigKid: string;
  readonly hashAlg: HashAlgorithm;
  /** Name of the session's cookie. */
  readonly sessLabel: string;
  /** How long a session is kept at the most. */
  readonly sessDbExpInMs: number;
  /** A session that ends sooner than this is not used any more. */
  readonly sessMarginMs: number;
  /** Whether a session serves calls with related accounts too. */
  readonly sessionForRelatedUsers: boolean;
  /** Whether the `Set-Cookie` of the session stays here. */
  readonly stripSessionCookie: boolean;
  readonly jtiLen: number;
  readonly jtiExpInMs: number;
  readonly fileThres: number;
  readonly fileMax: number;
  /** Folder of temporary files. */
  readonly tempFolder: string;
  /** Whether the signatures of code tokens are checked where an ID provider's keys are known. */
  readonly verifyCodeTokens: boolean;
  readonly keySetCacheMs: number;
  readonly idpTimeoutMs: number;
  readonly idpAnswerBytesMax: number;
  readonly connectTimeoutMs: number;
  /** 0 for no limit. */
  readonly headTimeoutMs: number;
  readonly destinationPolicy: DestinationPolicy;
  readonly edge: EdgeAccess | null;
  /** Certificates in PEM for ID providers and targets; null for Node's own list alone. */
  readonly ca: string | null;
}

/** What stands where nothing is said. `selfId` and the allowlist have no default. */
export const ACCESS_PROXY_DEFAULTS = {
  sigAlg: "RS256",
  sigKid: "",
  hashAlg: "SHA256",
  sessLabel: "Edo-Cooperation",
  sessDbExpInMs: 14 * 86_400_000,
  sessMarginMs: 10_000,
  sessionForRelatedUsers: false,
  stripSessionCookie: false,
  jtiLen: 20,
  jtiExpInMs: 300_000,
  fileThres: 131_072,
  fileMax: 4_194_304,
  verifyCodeTokens: true,
  keySetCacheMs: 3_600_000,
  idpTimeoutMs: 10_000,
  idpAnswerBytesMax: 262_144,
  connectTimeoutMs: 10_000,
  headTimeoutMs: 60_000,
  edge: null,
  ca: null,
} as const satisfies Partial<AccessProxyOptions>;
