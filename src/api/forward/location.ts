import { withoutDotSegments } from "../../core/url-path.ts";

/** Where a device is found under our origin. */
export interface DevicePlace {
  /** Of the configured base URL. */
  readonly origin: string;
  /** `/api/devices/<id>/http`, without a "/" at its end. */
  readonly prefix: string;
}

/**
 * The place that a device sends a client to, as a path below the device's own prefix; null for a place on another
 * origin, or for what is none.
 *
 * A device that does not know of the prefix names its own root: the prefix is put in front. So whatever a device says,
 * it does not lead to a path that is ours.
 *
 * @param location the value of the device's `Location`
 * @param path of the request as the device saw it, query included
 */
export function ownLocation(location: string, path: string, place: DevicePlace): string | null {
  const { origin, prefix } = place;
  let url: URL;
  try {
    // Read as a browser would read it: backslashes, control characters and missing schemes included.
    url = new URL(location, origin + prefix + path);
  } catch {
    return null;
  }
  if (url.origin !== origin || url.username !== "" || url.password !== "") return null;
  const { search, hash } = url;
  const pathname = withoutDotSegments(url.pathname);
  const isBelow = pathname.startsWith(`${prefix}/`);
  return `${isBelow ? "" : prefix}${pathname}${search}${hash}`;
}
