import { count } from "./kinds.ts";
import { MANY, type SettingsCommand, setting } from "./setting.ts";

const SERVERS: readonly SettingsCommand[] = ["api", "up"];
const commands = { commands: SERVERS };

/** How much the API server takes of one caller, one address and all together. */
export const API_LIMITS = {
  loginsPerMinuteMax: setting(
    "Limits of the API server",
    count(1, MANY),
    20,
    "Sign-ins that one address may begin in a minute; more are refused (429).",
    commands,
  ),
  callbacksPerMinuteMax: setting(
    "Limits of the API server",
    count(1, MANY),
    30,
    "Returns from the provider of one address in a minute; more are refused (429).",
    commands,
  ),
  backchannelFailuresPerMinuteMax: setting(
    "Limits of the API server",
    count(1, MANY),
    100,
    "Logout notices of one address in a minute that are not the provider's; more are refused (429).",
    commands,
  ),
  pendingSignInsMax: setting(
    "Limits of the API server",
    count(1, MANY),
    20_000,
    "Sign-ins that are begun and not finished at once; more are refused (503).",
    commands,
  ),
  authFailuresMax: setting(
    "Limits of the API server",
    count(1, MANY),
    60,
    "Bad credentials from one address in 10 minutes; more are refused (429).",
    commands,
  ),
  sessionRequestsPerMinuteMax: setting(
    "Limits of the API server",
    count(1, MANY),
    1_200,
    "Requests to the API in a minute of one login session; more are refused (429).",
    commands,
  ),
  keyRequestsPerMinuteMax: setting(
    "Limits of the API server",
    count(1, MANY),
    600,
    "The same of one API key that has no limit of its own.",
    commands,
  ),
  machineRequestsPerMinuteMax: setting(
    "Limits of the API server",
    count(1, MANY),
    600,
    "The same of one machine client.",
    commands,
  ),
  deviceRequestsPerMinuteMax: setting(
    "Limits of the API server",
    count(1, MANY),
    600,
    "The same of one device, with its token; tunnels and what goes through them are not counted.",
    commands,
  ),
  forwardsMax: setting(
    "Limits of the API server",
    count(1, MANY),
    1_024,
    "Requests that go through the API to devices at once; more are refused (503).",
    commands,
  ),
  forwardsPerTenantMax: setting(
    "Limits of the API server",
    count(1, MANY),
    256,
    "The same of one tenant (429).",
    commands,
  ),
  pairingFailuresMax: setting(
    "Limits of the API server",
    count(1, MANY),
    5,
    "Bad pairing codes and enrolment keys from one address in 10 minutes; then it is refused for 15 minutes (429).",
    commands,
  ),
  pairingCodesPerUserMax: setting(
    "Limits of the API server",
    count(1, MANY),
    5,
    "Unused pairing codes of one person at once.",
    commands,
  ),
  pairingCodesPerTenantMax: setting(
    "Limits of the API server",
    count(1, MANY),
    50,
    "Unused pairing codes of one tenant at once; fleets use enrolment keys.",
    commands,
  ),
  apiConnectionsMax: setting(
    "Limits of the API server",
    count(1, MANY),
    10_000,
    "Connections to the API server's public listener at once.",
    commands,
  ),
} as const;
