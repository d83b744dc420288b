import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Credentials, formatCredentials } from "../../src/core/credentials.ts";
import { mintDeviceId, mintToken } from "../../src/core/token.ts";

/** Devices, their tokens and one key that reaches them all, written for both relays. */
export interface Fleet {
  readonly deviceIds: readonly string[];
  readonly key: string;
  /** The devices' tokens, in the order of `deviceIds`. */
  readonly tokenTexts: readonly string[];
  /** By token reference: the digest of its secret, and whose it is. */
  readonly tokens: ReadonlyMap<string, { readonly digest: string; readonly deviceId: string }>;
  /** One token on each line, in the order of `deviceIds`: what the cheap device reads. */
  readonly tokensFile: string;
  /** The same devices and key as Hawser's credentials file and as the baseline's. */
  readonly hawserFile: string;
  readonly baselineFile: string;
  /** Removes its files. */
  remove(): void;
}

/** Makes a fleet of `count` devices and writes its files into `folder`. */
export function makeFleet(folder: string, name: string, count: number): Fleet {
  const key = mintToken("key");
  const deviceIds: string[] = [];
  const tokens: string[] = [];
  const entries: Credentials["tokens"] = [];
  for (let at = 0; at < count; at++) {
    const token = mintToken("device");
    const deviceId = mintDeviceId();
    deviceIds.push(deviceId);
    tokens.push(token.text);
    entries.push({
      ref: token.ref,
      digest: token.secretDigest,
      device_id: deviceId,
      user_id: "bench",
    });
  }
  const credentials: Credentials = {
    version: 1,
    tokens: entries,
    keys: [{ ref: key.ref, digest: key.secretDigest, user_id: "bench" }],
  };
  const devices = tokens.map((token, at) => ({ token, device: deviceIds[at] }));
  const known = entries.map((entry) => {
    return [entry.ref, { digest: entry.digest, deviceId: entry.device_id }] as const;
  });
  const fleet: Fleet = {
    deviceIds,
    key: key.text,
    tokenTexts: tokens,
    tokens: new Map(known),
    tokensFile: join(folder, `${name}-tokens.txt`),
    hawserFile: join(folder, `${name}-hawser.json`),
    baselineFile: join(folder, `${name}-baseline.json`),
    remove() {
      for (const file of [fleet.tokensFile, fleet.hawserFile, fleet.baselineFile]) {
        rmSync(file, { force: true });
      }
    },
  };
  writeFileSync(fleet.tokensFile, `${tokens.join("\n")}\n`, { mode: 0o600 });
  writeFileSync(fleet.hawserFile, formatCredentials(credentials), { mode: 0o600 });
  writeFileSync(fleet.baselineFile, JSON.stringify({ devices, keys: [key.text] }), { mode: 0o600 });
  return fleet;
}
