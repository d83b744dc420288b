import type { ConfigProblem } from "../../core/errors.ts";
import { SESSIONS_PER_USER_MAX } from "../store/index.ts";
import { readKeyRing } from "./key-ring.ts";

/** How people sign in and stay signed in. Times in milliseconds, as the names say. */
export interface AuthOptions {
  /** Keys that sign the cookie: `k2:<key>,k1:<key>`. The first one signs, all are taken. Secret. */
  readonly sessionSecrets: string;
  /** Keys that encrypt the provider's tokens at rest, in the same form. Secret. */
  readonly tokenEncKeys: string;
  /** A session without activity ends after this time; the last minute of activity may not count. */
  readonly sessionIdleMs: number;
  /** A session ends this long after its sign-in, whatever happens. */
  readonly sessionAbsoluteMs: number;
  /** Also ends a session with the ID token that it began with. */
  readonly sessionEndsWithIdToken: boolean;
  /** The cookie outlives the browser. */
  readonly sessionPersistent: boolean;
  /** With one more the oldest ends. */
  readonly sessionsPerUserMax: number;
  /** Sign-ins that one browser may have under way; with one more the oldest is dropped. */
  readonly pendingPerBrowserMax: number;
  /** Sign-ins that all browsers together may have under way. */
  readonly pendingMax: number;
  /** Begun sign-ins of one address in a minute. */
  readonly loginsPerMinute: number;
  /** Returns from the provider of one address in a minute. */
  readonly callbacksPerMinute: number;
  /** Logout notices of one address in a minute that are not the provider's. */
  readonly backchannelFailuresPerMinute: number;
  /** Addresses that each of these limits remembers; the oldest are forgotten first. */
  readonly limitAddressesMax: number;
  /** A sign-in that another site begins must be confirmed by the person. */
  readonly confirmCrossSiteStart: boolean;
  /** Exact origins of applications on other hosts that may use a session: the same as the listener's. */
  readonly corsOrigins: readonly string[];
  /** The value of the role claim that makes an administrator. */
  readonly adminRole: string;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const SESSION_ABSOLUTE_MS_MAX = 30 * 24 * HOUR_MS;

/** The defaults of every option but the keys, which have none. */
export const AUTH_DEFAULTS: Omit<AuthOptions, "sessionSecrets" | "tokenEncKeys"> = {
  sessionIdleMs: 30 * MINUTE_MS,
  sessionAbsoluteMs: 12 * HOUR_MS,
  sessionEndsWithIdToken: false,
  sessionPersistent: false,
  sessionsPerUserMax: SESSIONS_PER_USER_MAX,
  pendingPerBrowserMax: 8,
  pendingMax: 20_000,
  loginsPerMinute: 20,
  callbacksPerMinute: 30,
  backchannelFailuresPerMinute: 100,
  limitAddressesMax: 100_000,
  confirmCrossSiteStart: true,
  corsOrigins: [],
  adminRole: "admin",
};

/** Every option that cannot be used. No problem shows a key. */
export function authOptionsProblems(options: AuthOptions): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const refuse = (setting: keyof AuthOptions, problem: string): void => {
    problems.push({ setting, problem });
  };
  for (const setting of ["sessionSecrets", "tokenEncKeys"] as const) {
    const reading = readKeyRing(options[setting]);
    if (!reading.ok) refuse(setting, reading.problem);
  }
  const { sessionIdleMs, sessionAbsoluteMs } = options;
  // The last use is written once a minute: a shorter limit would end sessions that are used.
  if (!(sessionIdleMs >= 2 * MINUTE_MS)) refuse("sessionIdleMs", "wanted two minutes or more");
  if (!(sessionAbsoluteMs >= sessionIdleMs)) {
    refuse("sessionAbsoluteMs", "wanted no less than sessionIdleMs");
  }
  if (sessionAbsoluteMs > SESSION_ABSOLUTE_MS_MAX) {
    refuse("sessionAbsoluteMs", "wanted 30 days or less");
  }
  for (const setting of COUNTS) {
    if (!(Number.isSafeInteger(options[setting]) && options[setting] >= 1)) {
      refuse(setting, "wanted 1 or more");
    }
  }
  return problems;
}

const COUNTS = [
  "sessionsPerUserMax",
  "pendingPerBrowserMax",
  "pendingMax",
  "loginsPerMinute",
  "callbacksPerMinute",
  "backchannelFailuresPerMinute",
  "limitAddressesMax",
] as const;
