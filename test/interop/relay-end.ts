import type { TestContext } from "node:test";
import type { RelayOptions } from "../../src/relay/index.ts";
import type { PeerVersion } from "../support/go.ts";
import { startTestRelay, type TestRelay } from "../support/relay/start-relay.ts";
import { GoPeer } from "./peer.ts";
import { type TransferOptions, type TransferResult, transfer } from "./transfer.ts";

/** A relay of ours with one Go device. */
export interface RelayWithDevice extends TestRelay {
  readonly peer: GoPeer;
  readonly deviceId: string;
  /** `http://127.0.0.1:…/d/<device>` */
  readonly base: string;
  /** The field that lets a caller in. */
  readonly authorization: string;
  /** One exchange with the device. */
  through(path: string, options?: TransferOptions): Promise<TransferResult>;
  /** Starts the device once more, with the same token. */
  dialAgain(): Promise<GoPeer>;
  /** Resolves when the device has a tunnel. */
  reachable(): Promise<void>;
}

/** How the device is started. */
export interface DeviceOptions {
  readonly version: PeerVersion;
  readonly relay?: Partial<RelayOptions>;
  /** More arguments of the Go program. */
  readonly args?: readonly string[];
}

/** Starts a relay in this process and a Go device that dials it. Everything ends with the test. */
export async function relayWithDevice(
  t: TestContext,
  options: DeviceOptions,
): Promise<RelayWithDevice> {
  const test = await startTestRelay(t, options.relay);
  const device = test.devices[0];
  if (device === undefined) throw new Error("no device");
  const role = options.relay?.yamuxRole === "server" ? "client" : "server";
  const dial = async (): Promise<GoPeer> => {
    const peer = await GoPeer.start(t, options.version, [
      "device",
      ...["-relay", `ws://127.0.0.1:${test.relay.port}/tunnel/connect`],
      ...["-token", device.token.text, "-role", role],
      ...(options.args ?? []),
    ]);
    await peer.said("connected");
    return peer;
  };
  const peer = await dial();
  const base = `http://127.0.0.1:${test.relay.port}/d/${device.deviceId}`;
  const authorization = `Bearer ${test.key.text}`;
  const through: RelayWithDevice["through"] = (path, asked = {}) =>
    transfer(`${base}${path}`, { ...asked, headers: { authorization, ...asked.headers } });
  return {
    ...test,
    peer,
    deviceId: device.deviceId,
    base,
    authorization,
    through,
    dialAgain: dial,
    reachable: async () => {
      const answer = await through("/hello");
      if (answer.status !== 200) throw new Error(`the device answers ${answer.status}`);
    },
  };
}
