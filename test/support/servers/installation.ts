import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Agent, connect } from "../../../src/agent/index.ts";
import { DemoBrowser, type Page } from "../../../src/cli/demo-browser.ts";
import { startDemoIdp } from "../../../src/cli/demo-idp.ts";
import { lendPort } from "../ports.ts";

/** What an operator has before the first start: a provider that knows the base URL, ports, an empty folder. */
export interface Installation {
  readonly baseUrl: string;
  readonly edgeUrl: string;
  /** Of the relay's internal API and of the API server's. */
  readonly internalUrls: { readonly relay: string; readonly api: string };
  /** Its `data` is not there yet. */
  readonly folder: string;
  readonly dataDir: string;
  /** Variables for every command. */
  readonly environment: Readonly<Record<string, string>>;
  /** Secrets that no log may show. */
  readonly secrets: string[];
}

export async function prepareInstallation(t: TestContext): Promise<Installation> {
  const folder = mkdtempSync(join(tmpdir(), "hawser-servers-"));
  // Hooks run in their order: servers that the test did not stop itself may still make files in it.
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const [api, apiInternal, edge, internal] = await Promise.all([
    lendPort(),
    lendPort(),
    lendPort(),
    lendPort(),
  ]);
  const baseUrl = `http://127.0.0.1:${api}`;
  const idp = await startDemoIdp({ publicBaseUrl: baseUrl, publicClient: false });
  t.after(() => idp.close());
  const secret = idp.clientSecret ?? "";
  const dataDir = join(folder, "data");
  return {
    baseUrl,
    edgeUrl: `http://127.0.0.1:${edge}`,
    internalUrls: {
      relay: `http://127.0.0.1:${internal}`,
      api: `http://127.0.0.1:${apiInternal}`,
    },
    folder,
    dataDir,
    environment: {
      HAWSER_PUBLIC_BASE_URL: baseUrl,
      HAWSER_OIDC_ISSUER: idp.issuer,
      HAWSER_OIDC_CLIENT_ID: idp.clientId,
      HAWSER_OIDC_CLIENT_SECRET: secret,
      HAWSER_OIDC_ALLOW_INSECURE: "true",
      HAWSER_DATA_DIR: dataDir,
      HAWSER_API_HOST: "127.0.0.1",
      HAWSER_API_PORT: String(api),
      HAWSER_API_INTERNAL_PORT: String(apiInternal),
      HAWSER_LISTEN_HOST: "127.0.0.1",
      HAWSER_LISTEN_PORT: String(edge),
      HAWSER_INTERNAL_PORT: String(internal),
    },
    secrets: [secret],
  };
}

/** Signs in at the installation's provider. */
export async function signIn({ baseUrl }: Installation, name: string): Promise<DemoBrowser> {
  const browser = new DemoBrowser();
  const page = await browser.open(`${baseUrl}/api/auth/login`);
  await browser.submit(page, "login", name, (url) => url === `${baseUrl}/`);
  return browser;
}

/** The name of whoever is signed in, null for nobody. */
export async function whoIs(
  { baseUrl }: Installation,
  browser: DemoBrowser,
): Promise<string | null> {
  const page = await browser.script(`${baseUrl}/api/auth/me?optional=1`);
  return JSON.parse(page.body).user?.name ?? null;
}

/** A device that was paired, and a key that reaches it. */
export interface Paired {
  readonly deviceId: string;
  readonly tokenFile: string;
  readonly tunnelUrl: string;
  readonly key: string;
}

/** Pairs a device and makes a key, by the API alone. */
export async function pair(installation: Installation, browser: DemoBrowser): Promise<Paired> {
  const { baseUrl, folder, secrets } = installation;
  const code = await answered(
    browser.script(`${baseUrl}/api/pairing-codes`, { method: "POST", json: {} }),
  );
  const device = new DemoBrowser();
  const json = { code: code["code"], device: { name: "a device" } };
  const exchange = device.script(`${baseUrl}/api/pairing/exchange`, { method: "POST", json });
  const { device_id, token, tunnel_url } = await answered(exchange);
  const wanted = { name: "a key", scopes: ["tunnel:use", "devices:read"] };
  const { key } = await answered(
    browser.script(`${baseUrl}/api/keys`, { method: "POST", json: wanted }),
  );
  const tokenFile = join(folder, "device.token");
  writeFileSync(tokenFile, String(token), { mode: 0o600 });
  secrets.push(String(code["code"]), String(token), String(key));
  return {
    deviceId: String(device_id),
    tokenFile,
    tunnelUrl: String(tunnel_url),
    key: String(key),
  };
}

async function answered(page: Promise<Page>): Promise<Record<string, unknown>> {
  const { status, body } = await page;
  if (status !== 201) throw new Error(`answered ${status}: ${body}`);
  return JSON.parse(body);
}

/** Connects the device, with a service behind it. Ends with the test. */
export async function connectDevice(
  t: TestContext,
  { tokenFile, tunnelUrl }: Paired,
  listener: RequestListener = (_, response) => response.end("hello"),
): Promise<Agent> {
  const service = createServer(listener).listen(0, "127.0.0.1");
  t.after(() => {
    service.close();
    service.closeAllConnections();
  });
  await once(service, "listening");
  const to = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  const times = { backoffBaseMs: 50, backoffCapMs: 200 };
  const agent = connect({ relay: tunnelUrl, tokenFile, to, ...times });
  t.after(() => agent.close({ drainMs: 0 }));
  await agent.ready();
  return agent;
}
