import {
  type OidcFetch,
  type ServiceClientSettings,
  type ServiceToken,
  ServiceTokens,
} from "./oidc/index.ts";
import { systemTime } from "./system-time.ts";

const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Fetches one token as the API server does for itself, for an operator who wants to know whether that works.
 *
 * @throws OidcError
 */
export async function fetchServiceToken(
  settings: ServiceClientSettings,
  fetch?: OidcFetch,
): Promise<ServiceToken> {
  const tokens = new ServiceTokens(settings, {
    clock: { now: systemTime.now, epochMs: Date.now },
    timers: systemTime,
    log: SILENT,
    ...(fetch === undefined ? {} : { fetch }),
  });
  try {
    return await tokens.current();
  } finally {
    tokens.close();
  }
}
