import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { pino } from "pino";
import { formatCredentials } from "../../../src/core/credentials.ts";
import { type MintedToken, mintDeviceId, mintToken } from "../../../src/core/token.ts";
import {
  CredentialsFile,
  RELAY_DEFAULTS,
  type Relay,
  type RelayOptions,
  startRelay,
} from "../../../src/relay/index.ts";
import { connectDevice, type DeviceBehaviour, type WsDevice } from "./ws-device.ts";

/** One device of the credentials file. */
export interface TestDevice {
  readonly deviceId: string;
  readonly userId: string;
  readonly token: MintedToken;
}

/** An answer of the internal API or the edge. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** What a request may say. */
export interface AskOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

/** A relay in this process, with a credentials file of `devices` and one key for all of user `u1`. */
export interface TestRelay {
  readonly relay: Relay;
  readonly credentials: CredentialsFile;
  readonly credentialsPath: string;
  readonly devices: readonly TestDevice[];
  readonly key: MintedToken;
  readonly secret: string;
  /** Log lines, parsed, as they were written. */
  readonly log: Record<string, unknown>[];
  /** Log lines as text. */
  readonly logText: () => string;
  /** Connects the device by its index, default 0. */
  connect(behaviour: DeviceBehaviour, index?: number): Promise<WsDevice>;
  /** Asks the internal API, with the secret unless `headers` has an `authorization`. */
  internal(path: string, options?: AskOptions): Promise<Answer>;
  /** Asks the edge, with the key unless `headers` has an `authorization`. */
  edge(path: string, options?: AskOptions): Promise<Answer>;
}

export const SECRET = "internal-secret-of-the-tests-0123456789";

/** One HTTP request on a connection of its own. */
export function ask(port: number, path: string, options: AskOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = "GET", headers = {}, body } = options;
    const req = httpRequest({ host: "127.0.0.1", port, path, method, headers, agent: false });
    req.on("response", (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(pieces).toString("utf8");
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    req.on("error", reject);
    req.end(body);
  });
}

/** Makes devices: the first belongs to user `u1`, the rest in turn to `u1` and `u2`. */
export function makeDevices(count: number): TestDevice[] {
  return Array.from({ length: count }, (_, index) => ({
    deviceId: mintDeviceId(),
    userId: index % 2 === 0 ? "u1" : "u2",
    token: mintToken("device"),
  }));
}

/** The text of a credentials file with these devices and this key. */
export function credentialsText(devices: readonly TestDevice[], key: MintedToken | null): string {
  return formatCredentials({
    version: 1,
    tokens: devices.map(({ deviceId, userId, token }) => ({
      ref: token.ref,
      digest: token.secretDigest,
      device_id: deviceId,
      user_id: userId,
    })),
    keys: key === null ? [] : [{ ref: key.ref, digest: key.secretDigest, user_id: "u1" }],
  });
}

/** A folder that goes with the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-relay-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a relay on free ports of the loopback; everything ends with the test. */
export async function startTestRelay(
  t: TestContext,
  options: Partial<RelayOptions> = {},
  deviceCount = 1,
): Promise<TestRelay> {
  const devices = makeDevices(deviceCount);
  const key = mintToken("key");
  const credentialsPath = join(await temporaryFolder(t), "credentials.json");
  await writeFile(credentialsPath, credentialsText(devices, key));
  const lines: string[] = [];
  const logger = pino({ level: "debug" }, { write: (text: string) => void lines.push(text) });
  const credentials = await CredentialsFile.open(credentialsPath, logger, { pollIntervalMs: 100 });
  t.after(() => credentials.close());
  const relay = await startRelay(
    {
      ...RELAY_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: 0,
      internalPort: 0,
      internalSecret: SECRET,
      ...options,
    },
    { tunnelGate: credentials, callerGate: credentials, logger },
  );
  credentials.on("revoked", (refs) => relay.revoke(refs));
  t.after(() => relay.close());
  const scheme = options.tlsCertFile == null ? "ws" : "wss";
  return {
    relay,
    credentials,
    credentialsPath,
    devices,
    key,
    secret: SECRET,
    get log(): Record<string, unknown>[] {
      return lines
        .join("")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    logText: () => lines.join(""),
    connect: async (behaviour, index = 0) => {
      const { token } = devices[index] as TestDevice;
      const url = `${scheme}://127.0.0.1:${relay.port}`;
      const device = await connectDevice(url, token.text, behaviour);
      t.after(() => device.close());
      return device;
    },
    internal: (path, asked = {}) =>
      ask(relay.internalPort, path, {
        ...asked,
        headers: { authorization: `Bearer ${SECRET}`, ...asked.headers },
      }),
    edge: (path, asked = {}) =>
      ask(relay.port, path, {
        ...asked,
        headers: { authorization: `Bearer ${key.text}`, ...asked.headers },
      }),
  };
}
