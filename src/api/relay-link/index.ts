/** What ties the API server to the relay: its questions, its reports, and what it is told of changes. */
export { authorizeRoute } from "./authorize-route.ts";
export { type ChangeQueueOptions, RelayChangeQueue } from "./change-queue.ts";
export { InternalAuthenticator } from "./internal-authenticator.ts";
export { tunnelsRoute } from "./tunnels-route.ts";
export { wireTenant } from "./wire-tenant.ts";
