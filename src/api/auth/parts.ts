import type { EventLimit } from "../audit/index.ts";
import type { ApiContext } from "../context.ts";
import type { Origins } from "../csrf.ts";
import type { OidcSettings, OidcTimers, RelyingParty } from "../oidc/index.ts";
import type { HttpAudit } from "../ports.ts";
import type { AddressLimit } from "./address-limit.ts";
import type { AuthOptions } from "./options.ts";
import type { Pages } from "./pages.ts";
import type { RecentEnds } from "./recent-ends.ts";
import type { SessionAuth } from "./session-auth.ts";
import type { SessionCookie } from "./session-cookie.ts";
import type { SessionEndings } from "./session-endings.ts";
import type { StoreLogouts } from "./store-logouts.ts";
import type { TokenBox } from "./token-box.ts";

/** What the routes of this folder share. */
export interface AuthParts {
  readonly context: ApiContext;
  readonly options: AuthOptions;
  readonly settings: OidcSettings;
  readonly timers: OidcTimers;
  readonly party: RelyingParty;
  readonly logouts: StoreLogouts;
  readonly cookies: SessionCookie;
  readonly box: TokenBox;
  readonly sessions: SessionAuth;
  readonly endings: SessionEndings;
  readonly recent: RecentEnds;
  readonly pages: Pages;
  readonly origins: Origins;
  /** Of what anybody may cause as often as they like: a limit keeps it from filling the audit log. */
  readonly refusals: HttpAudit;
  /** The same for logout notices that came to nothing. */
  readonly failedNotices: EventLimit;
  readonly limits: {
    readonly logins: AddressLimit;
    readonly callbacks: AddressLimit;
    readonly backchannelFailures: AddressLimit;
  };
}
