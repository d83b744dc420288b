/** Requests to the services of devices, through the API. */
export { FORWARD_ERRORS, type ForwardErrorCode } from "./errors.ts";
export { type ForwardOptions, forwardRoute } from "./forward-route.ts";
