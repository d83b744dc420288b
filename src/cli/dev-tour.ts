import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { type Agent, type AgentEvents, connect } from "../agent/index.ts";
import { DemoBrowser, type Page } from "./demo-browser.ts";
import type { DevStack } from "./dev-stack.ts";
import type { Steps } from "./steps.ts";

/** The person who signs in, owns the demo device and makes the key. */
export const DEMO_USER = "alice";

/** A person, their device and their key: what `hawser dev` has made through the API. */
export interface Demo {
  readonly browser: DemoBrowser;
  readonly deviceId: string;
  readonly agent: Agent;
  readonly key: { readonly ref: string; readonly text: string };
  /** `http://127.0.0.1:3800/d/<device>`. */
  readonly deviceUrl: string;
}

/** An answer of the device, through one of its ways. */
export interface Fetched {
  readonly url: string;
  readonly status: number;
  readonly body: string;
}

const WAIT_MS = 30_000;

/** Signs in, pairs a device, connects it and makes a key, as people and programs do. */
export async function setUpDemo(stack: DevStack, logger: Logger, steps: Steps): Promise<Demo> {
  const browser = new DemoBrowser();
  await steps.take(
    `sign in at the demo identity provider as ${DEMO_USER}`,
    () => signIn(stack, browser),
    (name) => name,
  );
  const code = await steps.take("make a pairing code", async () => {
    const made = await post(browser, `${stack.baseUrl}/api/pairing-codes`, 201, {});
    return textOf(made, "code");
  });
  const paired = await steps.take(
    "exchange it for a device token",
    () => exchange(stack, code),
    ({ deviceId }) => `device ${deviceId}`,
  );
  const agent = await steps.take("connect the device", () => connectDevice(stack, paired, logger));
  const key = await steps.take(
    "create an API key",
    () => createKey(stack, browser),
    ({ ref }) => ref,
  );
  const { deviceId } = paired;
  return { browser, deviceId, agent, key, deviceUrl: `${stack.edgeUrl}/d/${deviceId}` };
}

/** Fetches a page of the device on both ways, takes everything back, and sees it gone. */
export async function tour(
  stack: DevStack,
  demo: Demo,
  page: { readonly path: string; readonly expected: string | null },
  steps: Steps,
): Promise<Fetched[]> {
  const { browser, deviceId, deviceUrl, key } = demo;
  const authorization = { authorization: `Bearer ${key.text}` };
  const check = (fetched: Fetched): Fetched => {
    const isWrong = page.expected !== null && fetched.body !== page.expected;
    if (fetched.status >= 500 || isWrong || (page.expected !== null && fetched.status !== 200)) {
      throw new Error(`the answer has status ${fetched.status} and is not the service's own`);
    }
    return fetched;
  };
  const edge = await steps.take(
    "fetch a page of the device through the edge, with the key",
    async () => check(await fetchPage(`${deviceUrl}${page.path}`, authorization)),
    ({ url, status }) => `${status} ${url}`,
  );
  const forwardUrl = `${stack.baseUrl}/api/devices/${deviceId}/http${page.path}`;
  const api = await steps.take(
    "fetch it through the API, with the session's cookie",
    async () => check(asFetched(await browser.script(forwardUrl))),
    ({ url, status }) => `${status} ${url}`,
  );
  const disconnected = nextDisconnect(demo.agent);
  await steps.take("revoke the device's token", () =>
    post(browser, `${stack.baseUrl}/api/devices/${deviceId}/token:revoke`, 200, {}),
  );
  await steps.take(
    "see the tunnel close",
    () => disconnected,
    ({ code }) => code,
  );
  await steps.take("revoke the key", () => revokeKey(stack, demo));
  await steps.take(
    "see the key refused at the edge",
    () => expectStatus(`${deviceUrl}${page.path}`, authorization, 401),
    () => "401",
  );
  return [edge, api];
}

async function signIn({ baseUrl }: DevStack, browser: DemoBrowser): Promise<string> {
  const page = await browser.open(`${baseUrl}/api/auth/login`);
  await browser.submit(page, "login", DEMO_USER, (url) => url === `${baseUrl}/`);
  const me = await browser.script(`${baseUrl}/api/auth/me`);
  const { user } = jsonOf(me, 200) as { user?: { name?: string } | null };
  if (user === null || user === undefined) throw new Error("the session is nobody's");
  return user.name ?? "";
}

async function post(
  browser: DemoBrowser,
  url: string,
  expected: number,
  json: object,
): Promise<Record<string, unknown>> {
  return jsonOf(await browser.script(url, { method: "POST", json }), expected);
}

interface Paired {
  readonly deviceId: string;
  readonly token: string;
  readonly tunnelUrl: string;
}

/** What a device does: it has no cookie. */
async function exchange({ baseUrl }: DevStack, code: string): Promise<Paired> {
  const device = { name: "demo device", model: "hawser dev" };
  const response = await fetch(`${baseUrl}/api/pairing/exchange`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code, device }),
    signal: AbortSignal.timeout(WAIT_MS),
  });
  const { url, status, headers } = response;
  const json = jsonOf({ url, status, headers, body: await response.text() }, 201);
  return {
    deviceId: textOf(json, "device_id"),
    token: textOf(json, "token"),
    tunnelUrl: textOf(json, "tunnel_url"),
  };
}

async function createKey({ baseUrl }: DevStack, browser: DemoBrowser): Promise<Demo["key"]> {
  const wanted = { name: "demo", scopes: ["devices:read", "tunnel:use"] };
  const json = await post(browser, `${baseUrl}/api/keys`, 201, wanted);
  return { ref: textOf(json, "ref"), text: textOf(json, "key") };
}

async function connectDevice(stack: DevStack, paired: Paired, logger: Logger): Promise<Agent> {
  const tokenFile = join(stack.folder, "device.token");
  await writeFile(tokenFile, `${paired.token}\n`, { mode: 0o600 });
  const agent = connect({
    relay: paired.tunnelUrl,
    tokenFile,
    to: stack.serviceUrl,
    log: logger,
  });
  stack.onClose(() => agent.close({ drainMs: 0 }));
  let last = "no answer";
  agent.on("disconnected", ({ code }) => {
    last = code;
  });
  await before(agent.ready(), () => `no tunnel within ${WAIT_MS / 1_000} s (${last})`);
  return agent;
}

/** @throws Error where the tunnel stays, or ends for another reason than the revocation */
async function nextDisconnect(agent: Agent): Promise<AgentEvents["disconnected"][0]> {
  const waiting = once(agent, "disconnected") as Promise<AgentEvents["disconnected"]>;
  const [event] = await before(waiting, () => `it is open after ${WAIT_MS / 1_000} s`);
  if (event.cause !== "revoked") throw new Error(`it ended for another reason: ${event.code}`);
  return event;
}

async function before<T>(work: Promise<T>, why: () => string): Promise<T> {
  const timeout = AbortSignal.timeout(WAIT_MS);
  const late = new Promise<never>((_, reject) => {
    timeout.addEventListener("abort", () => reject(new Error(why())));
  });
  return await Promise.race([work, late]);
}

async function revokeKey({ baseUrl }: DevStack, { browser, key }: Demo): Promise<void> {
  const answer = await browser.script(`${baseUrl}/api/keys/${key.ref}`, { method: "DELETE" });
  if (answer.status !== 204) throw new Error(`the API answered ${answer.status}`);
}

async function fetchPage(url: string, headers: Record<string, string>): Promise<Fetched> {
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(WAIT_MS) });
  return { url, status: response.status, body: await response.text() };
}

function asFetched({ url, status, body }: Page): Fetched {
  return { url, status, body };
}

async function expectStatus(
  url: string,
  headers: Record<string, string>,
  expected: number,
): Promise<void> {
  const { status } = await fetchPage(url, headers);
  if (status !== expected) throw new Error(`the edge answered ${status}`);
}

/** @throws Error with status and code of what the API answered; a body may hold a secret and is not shown */
function jsonOf(page: Page, expected: number): Record<string, unknown> {
  let parsed: unknown = null;
  try {
    parsed = JSON.parse(page.body);
  } catch {
    // Told below.
  }
  const json = typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  if (page.status === expected) return json;
  const code: unknown = "code" in json ? json.code : "no code";
  throw new Error(`the API answered ${page.status} (${String(code)})`);
}

function textOf(json: Record<string, unknown>, name: string): string {
  const value = json[name];
  if (typeof value !== "string") throw new Error(`the API's answer has no ${name}`);
  return value;
}
