import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { DemoBrowser, type Page } from "../../src/cli/demo-browser.ts";
import { startDemoIdp } from "../../src/cli/demo-idp.ts";
import { newKeyRing } from "../../src/config/index.ts";
import { lendPort } from "../../test/support/ports.ts";
import { type Child, startChild } from "./child.ts";

/** `hawser api`, `hawser relay --api` and a device, each a process of its own, and a key that reaches the device. */
export interface ApiStack {
  readonly api: { readonly pid: number; readonly port: number };
  readonly relay: { readonly pid: number; readonly port: number };
  readonly deviceId: string;
  readonly key: string;
  /** @throws Error with the reason where a process has ended by itself */
  check(): void;
  stop(): Promise<void>;
}

/** A device that was paired, and where it dials. */
export interface PairedDevice {
  readonly deviceId: string;
  readonly token: string;
  /** Of the relay's edge. */
  readonly port: number;
  /** For files; removed when the stack stops. */
  readonly folder: string;
}

const START_MS = 20_000;
const POLL_MS = 20;
/** The most that the setting takes: 166,000 a second, more than any load here. */
const KEY_REQUESTS_PER_MINUTE = "10000000";
const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

/**
 * Starts both servers with their defaults, save the requests that a key may make in a minute, signs a person in at a provider
 * in this process, pairs the device and makes the key: all as users do it.
 *
 * @param startDevice starts the device's process, and waits until it has a tunnel
 * @param nodeArgs what Node is told about the API server's process, for profiles
 */
export async function startApiStack(
  startDevice: (device: PairedDevice) => Promise<Child>,
  nodeArgs: readonly string[] = [],
): Promise<ApiStack> {
  const folder = mkdtempSync(join(tmpdir(), "hawser-bench-api-"));
  const closing: (() => void | Promise<void>)[] = [
    () => rmSync(folder, { recursive: true, force: true }),
  ];
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close();
  };
  try {
    const ports = {
      api: await lendPort(),
      apiInternal: await lendPort(),
      edge: await lendPort(),
      internal: await lendPort(),
    };
    const publicBaseUrl = `http://127.0.0.1:${ports.api}`;
    const idp = await startDemoIdp({ publicBaseUrl, publicClient: false });
    closing.push(() => idp.close());
    const environment = {
      ...settings(ports, join(folder, "data")),
      HAWSER_OIDC_ISSUER: idp.issuer,
      HAWSER_OIDC_CLIENT_ID: idp.clientId,
      HAWSER_OIDC_CLIENT_SECRET: idp.clientSecret ?? "",
    };
    const serve = async (words: readonly string[], port: number, node: readonly string[]) => {
      const [name = ""] = words;
      const child = startChild({
        name,
        command: process.execPath,
        args: [...node, main, ...words],
        outputFile: join(folder, `${name}.log`),
        endBy: "signal",
        environment,
      });
      closing.push(() => child.stop());
      await ready(child, join(folder, `${name}.log`), `http://127.0.0.1:${port}/healthz`);
      return child;
    };
    const relayUrl = `http://127.0.0.1:${ports.internal}`;
    const api = await serve(["api", "--relay-internal-url", relayUrl], ports.api, nodeArgs);
    const apiUrl = `http://127.0.0.1:${ports.apiInternal}`;
    const relay = await serve(["relay", "--api", apiUrl], ports.internal, []);
    const { deviceId, token, key } = await holdings(publicBaseUrl);
    const device = await startDevice({ deviceId, token, port: ports.edge, folder });
    closing.push(() => device.stop());
    const check = (): void => {
      for (const { failure } of [api, relay, device])
        if (failure !== null) throw new Error(failure);
    };
    return {
      api: { pid: api.pid, port: ports.api },
      relay: { pid: relay.pid, port: ports.edge },
      deviceId,
      key,
      check,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Ports {
  readonly api: number;
  readonly apiInternal: number;
  readonly edge: number;
  readonly internal: number;
}

/** For both servers, but for the provider. */
function settings(ports: Ports, dataDir: string): NodeJS.ProcessEnv {
  return {
    HAWSER_PUBLIC_BASE_URL: `http://127.0.0.1:${ports.api}`,
    HAWSER_OIDC_ALLOW_INSECURE: "true",
    HAWSER_DATA_DIR: dataDir,
    HAWSER_API_HOST: "127.0.0.1",
    HAWSER_API_PORT: String(ports.api),
    HAWSER_API_INTERNAL_PORT: String(ports.apiInternal),
    HAWSER_LISTEN_HOST: "127.0.0.1",
    HAWSER_LISTEN_PORT: String(ports.edge),
    HAWSER_INTERNAL_PORT: String(ports.internal),
    HAWSER_SESSION_SECRETS: newKeyRing(),
    HAWSER_TOKEN_ENC_KEYS: newKeyRing(),
    HAWSER_KEY_REQUESTS_PER_MINUTE_MAX: KEY_REQUESTS_PER_MINUTE,
  };
}

async function ready(child: Child, log: string, url: string): Promise<void> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    const answer = await fetch(url).catch(() => null);
    await answer?.arrayBuffer();
    if (answer?.status === 200) return;
    if (child.failure !== null || performance.now() > deadline) {
      const last = readFileSync(log, "utf8").slice(-2_000);
      throw new Error(`${child.failure ?? "a server does not get ready"}: ${last}`);
    }
    await delay(POLL_MS);
  }
}

/** A device with its token, and a key, made by a person who signs in. */
async function holdings(
  baseUrl: string,
): Promise<{ readonly deviceId: string; readonly token: string; readonly key: string }> {
  const person = new DemoBrowser();
  const page = await person.open(`${baseUrl}/api/auth/login`);
  await person.submit(page, "login", "alice", (url) => url === `${baseUrl}/`);
  const made = async (by: DemoBrowser, path: string, json: object): Promise<Made> => {
    const { status, body }: Page = await by.script(baseUrl + path, { method: "POST", json });
    if (status !== 201) throw new Error(`${path} answered ${status}: ${body}`);
    return JSON.parse(body);
  };
  const { code = "" } = await made(person, "/api/pairing-codes", {});
  const wanted = { code, device: { name: "bench" } };
  const paired = await made(new DemoBrowser(), "/api/pairing/exchange", wanted);
  const { key = "" } = await made(person, "/api/keys", { name: "bench", scopes: ["tunnel:use"] });
  return { deviceId: paired.device_id ?? "", token: paired.token ?? "", key };
}

interface Made {
  readonly code?: string;
  readonly device_id?: string;
  readonly token?: string;
  readonly key?: string;
}
