/** Devices of the API server: their tokens, pairing codes, enrolment keys, and the exchange of these. */
import { type Clock, monotonicClock } from "../../core/clock.ts";
import type { ApiContext } from "../context.ts";
import type { Route } from "../route.ts";
import { managingRoutes } from "./device-routes.ts";
import { enrolmentRoutes } from "./enrolment-routes.ts";
import { ExchangeLimiter } from "./exchange-limiter.ts";
import { exchangeRoute, type OnExchangeStep } from "./exchange-route.ts";
import { LiveSessions } from "./live-sessions.ts";
import type { DeviceOptions } from "./options.ts";
import { ownRoutes } from "./own-routes.ts";
import { pairingRoutes } from "./pairing-routes.ts";
import { tokenRoutes } from "./token-routes.ts";

export { DEVICE_ERRORS, type DeviceErrorCode } from "./errors.ts";
export type { OnExchangeStep } from "./exchange-route.ts";
export { LateDevices, removeLateDevices } from "./late-devices.ts";
export { DEVICE_DEFAULTS, type DeviceOptions, type ExchangeLimits } from "./options.ts";

/**
 * Every route of devices. Call it once a process: the limits of exchanges are counted in what it makes.
 *
 * @param deps.clock of those limits; the process's monotonic clock by default
 * @param deps.onExchangeStep sees each exchange pass its steps: for tests of what a crash at one of them leaves
 */
export function deviceRoutes(
  context: ApiContext,
  options: DeviceOptions,
  deps: { readonly clock?: Clock; readonly onExchangeStep?: OnExchangeStep } = {},
): Route[] {
  const parts = { context, options, live: new LiveSessions(context, options) };
  const limiter =
    options.exchange === null
      ? null
      : new ExchangeLimiter(options.exchange, deps.clock ?? monotonicClock);
  return [
    ...managingRoutes(parts),
    ...tokenRoutes(parts),
    ...pairingRoutes(parts),
    exchangeRoute(parts, limiter, deps.onExchangeStep ?? (() => {})),
    ...enrolmentRoutes(parts),
    ...ownRoutes(parts),
  ];
}
