import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { isPublicAddress } from "./addresses.ts";
import { AccessProxyError } from "./errors.ts";

/** How a name is resolved: as `dns.lookup` does, all its addresses. */
export type Resolve = (
  host: string,
  options: LookupOptions & { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * A `lookup` for sockets that resolves a name once and gives out public addresses alone, so that what is connected to is what was
 * checked. One closed address among several refuses the name.
 *
 * @throws AccessProxyError row E3, as the callback's error
 */
export function guardedLookup(resolve: Resolve = lookup as Resolve): LookupFunction {
  return (host, options, callback) => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, "", 0);
      const [first] = addresses;
      if (first === undefined) {
        const none = Object.assign(new Error("no address"), { code: "ENOTFOUND" });
        return callback(none, "", 0);
      }
      if (!addresses.every(({ address }) => isPublicAddress(address))) {
        return callback(new AccessProxyError("ERR_ACCESS_PROXY_DESTINATION"), "", 0);
      }
      if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

/**
 * Resolves a name now, for a connection later: gives a `lookup` that has the addresses which were checked, and asks nobody again.
 * A name that cannot be resolved fails then, as it would have.
 *
 * @throws AccessProxyError row E3
 */
export function lookupAhead(host: string, guarded: LookupFunction): Promise<LookupFunction> {
  return new Promise((resolve, reject) => {
    guarded(host, { all: true }, (error, found) => {
      if (error instanceof AccessProxyError) return reject(error);
      const addresses = found as LookupAddress[];
      resolve((_host, options, callback) => {
        const [first] = addresses;
        if (error !== null || first === undefined) callback(error, "", 0);
        else if (options.all === true) callback(null, addresses);
        else callback(null, first.address, first.family);
      });
    });
  });
}

/**
 * Refuses a host that is itself an address and not a public one: sockets look up no name then.
 *
 * @param hostname as `URL.hostname` has it, IPv6 in brackets
 * @throws AccessProxyError row E3
 */
export function checkLiteral(hostname: string): void {
  const host = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
  if (isIP(host) !== 0 && !isPublicAddress(host)) {
    throw new AccessProxyError("ERR_ACCESS_PROXY_DESTINATION");
  }
}
