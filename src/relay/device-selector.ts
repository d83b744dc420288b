import { isDeviceId } from "../core/token.ts";
import type { RelayErrorCode } from "./errors.ts";

const PREFIX = "/d/";
const DEVICE_ID_LENGTH = 16;

/** Which device a request at the edge is for, and what of its path the device gets. */
export interface DeviceSelection {
  /** Empty when nothing selects a device, or when `error` is set. */
  readonly deviceId: string;
  /** The path for the device, without the query. */
  readonly path: string;
  /** What was cut off the path, for `X-Forwarded-Prefix`. */
  readonly prefix: string;
  readonly error: RelayErrorCode | null;
}

/**
 * Finds the device by host, path and field. Host beats path: on a device's host a path is the device's own. Selectors
 * that name different devices are an error.
 *
 * @param path the path of the request target, without the query
 * @param host value of `Host`, a port included
 * @param field value of `x-hawser-device`, or empty
 * @param edgeDomain `<device>.<edgeDomain>` is a device's host; null for none
 */
export function selectDevice(
  path: string,
  host: string,
  field: string,
  edgeDomain: string | null,
): DeviceSelection {
  if (field !== "" && !isDeviceId(field)) return none("ERR_RELAY_NO_DEVICE");
  const ofHost = edgeDomain === null ? "" : deviceOfHost(host, edgeDomain);
  if (ofHost !== "") {
    if (!isDeviceId(ofHost)) return none("ERR_RELAY_NO_DEVICE");
    if (field !== "" && field !== ofHost) return none("ERR_RELAY_SELECTORS_DISAGREE");
    if (path.startsWith("/.hawser/")) return none("ERR_RELAY_NOT_FOUND");
    return { deviceId: ofHost, path, prefix: "", error: null };
  }
  if (path.startsWith(PREFIX)) {
    const slash = path.indexOf("/", PREFIX.length);
    const end = slash === -1 ? path.length : slash;
    const ofPath = path.slice(PREFIX.length, end);
    if (end - PREFIX.length !== DEVICE_ID_LENGTH || !isDeviceId(ofPath)) {
      return none("ERR_RELAY_NO_DEVICE");
    }
    if (field !== "" && field !== ofPath) return none("ERR_RELAY_SELECTORS_DISAGREE");
    const rest = slash === -1 ? "/" : path.slice(slash);
    return { deviceId: ofPath, path: rest, prefix: path.slice(0, end), error: null };
  }
  if (field === "") return none("ERR_RELAY_NOT_FOUND");
  return { deviceId: field, path, prefix: "", error: null };
}

function none(error: RelayErrorCode): DeviceSelection {
  return { deviceId: "", path: "", prefix: "", error };
}

/** The label in front of the edge domain, empty when the host is another one. */
export function deviceOfHost(host: string, edgeDomain: string): string {
  const colon = host.lastIndexOf(":");
  let name = (colon === -1 || host.endsWith("]") ? host : host.slice(0, colon)).toLowerCase();
  if (name.endsWith(".")) name = name.slice(0, -1);
  const at = name.length - edgeDomain.length - 1;
  if (at <= 0 || name.charCodeAt(at) !== 0x2e || !name.endsWith(edgeDomain)) return "";
  return name.slice(0, at);
}
