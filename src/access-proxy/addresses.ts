import { BlockList, isIP } from "node:net";

/** Addresses that no stranger's name may lead to, by what they are. */
const NOT_PUBLIC: ReadonlyArray<readonly [address: string, prefix: number]> = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

/** Of IPv6 nothing but global unicast, 2000::/3, is public; of that, these are not. */
const NOT_PUBLIC6: ReadonlyArray<readonly [address: string, prefix: number]> = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

const closed4 = new BlockList();
for (const [address, prefix] of NOT_PUBLIC) closed4.addSubnet(address, prefix, "ipv4");
const closed6 = new BlockList();
for (const [address, prefix] of NOT_PUBLIC6) closed6.addSubnet(address, prefix, "ipv6");
const global6 = new BlockList();
global6.addSubnet("2000::", 3, "ipv6");

/**
 * Whether an address is one of the public Internet: not of this host, a private network, a link, a group, documentation or
 * another special purpose. An IPv4 address in the clothes of IPv6 (mapped, translated, 6to4, Teredo) never is.
 *
 * @see RFC 6890 and the IANA registries of special-purpose addresses; TA cooperation, section 14.2
 */
export function isPublicAddress(address: string): boolean {
  const [bare = ""] = address.split("%", 1);
  switch (isIP(bare)) {
    case 4:
      return !closed4.check(bare, "ipv4");
    case 6:
      return global6.check(bare, "ipv6") && !closed6.check(bare, "ipv6");
    default:
      return false;
  }
}
