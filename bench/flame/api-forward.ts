import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../../src/api/store/index.ts";
import { formatCredentials } from "../../src/core/credentials.ts";
import { activeDevice, person } from "../../test/support/api-store/people.ts";
import { lendPort } from "../../test/support/ports.ts";
import { apiKey } from "../../test/support/relay-link/people.ts";
import { runProgram } from "../support/child.ts";
import { MAIN_SCRIPT, type Profiled, startProfiled } from "./profilers.ts";
import { type ScenarioContext, startRelay } from "./relay.ts";

/** More than any load asks for. */
const PER_MINUTE = 100_000_000;

/** What the API server and the relay share, in files. */
interface Holdings {
  readonly databaseUrl: string;
  readonly deviceId: string;
  readonly key: string;
  readonly tokensFile: string;
  readonly hawserFile: string;
}

/** Requests to one device through an API server that is under the profiler; the relay behind it is not. */
export async function forwardThroughApi(
  context: ScenarioContext,
  folder: string,
  connections: number,
): Promise<Profiled> {
  const holdings = await makeHoldings(folder);
  const fleet = { ...holdings, deviceIds: [holdings.deviceId] };
  const behind = await startRelay(
    { ...context, id: `${context.id}-relay`, profiler: "none" },
    folder,
    fleet,
    [],
  );
  try {
    const port = await lendPort();
    const profiled = await startProfiled(
      context.profiler,
      context.id,
      await apiWords(folder, holdings.databaseUrl, port, behind.internalPort),
    );
    try {
      await profiled.logged(/"API server listens"/);
      await loadForward(context, port, holdings, connections);
    } finally {
      await profiled.stop();
    }
    return profiled;
  } finally {
    await behind.device.stop();
    await behind.profiled.stop();
  }
}

/** One person with one device and one key, in a new database and in a relay's credentials file. */
async function makeHoldings(folder: string): Promise<Holdings> {
  const databaseUrl = `sqlite:${join(folder, "hawser.db")}`;
  const store = await openDatabase(databaseUrl);
  try {
    const owner = await person(store, "bench");
    const { id, token } = await activeDevice(store, owner);
    const key = await apiKey(store, owner, { requestsPerMinute: PER_MINUTE });
    const device = { device_id: id, user_id: owner.id };
    const tokensFile = join(folder, "tokens.txt");
    const hawserFile = join(folder, "credentials.json");
    writeFileSync(tokensFile, `${token.text}\n`, { mode: 0o600 });
    const tokens = [{ ref: token.ref, digest: token.secretDigest, ...device }];
    writeFileSync(hawserFile, formatCredentials({ version: 1, tokens, keys: [] }), { mode: 0o600 });
    return { databaseUrl, deviceId: id, key: key.text, tokensFile, hawserFile };
  } finally {
    await store.close();
  }
}

async function apiWords(
  folder: string,
  databaseUrl: string,
  port: number,
  relayInternalPort: number,
): Promise<string[]> {
  const keyRing = (name: string): string => {
    const file = join(folder, name);
    writeFileSync(file, `k1:${randomBytes(32).toString("base64")}\n`, { mode: 0o600 });
    return file;
  };
  const settings = {
    "api-host": "127.0.0.1",
    "api-port": port,
    "api-internal-port": await lendPort(),
    "public-base-url": `http://127.0.0.1:${port}`,
    "relay-internal-url": `http://127.0.0.1:${relayInternalPort}`,
    // The relay has made its internal secret there.
    "data-dir": join(folder, "data"),
    "database-url": databaseUrl,
    "session-secrets-file": keyRing("session.keys"),
    "token-enc-keys-file": keyRing("token-encryption.keys"),
    // Nobody signs in.
    "oidc-issuer": "http://127.0.0.1:9",
    "oidc-client-id": "bench",
    "oidc-client-auth": "none",
    "oidc-allow-insecure": true,
  };
  const words = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  return [MAIN_SCRIPT, "api", ...words];
}

async function loadForward(
  { tools, seconds }: ScenarioContext,
  port: number,
  { deviceId, key }: Holdings,
  connections: number,
): Promise<void> {
  const url = `http://127.0.0.1:${port}/api/devices/${deviceId}/http/hello`;
  const headers = { authorization: `Bearer ${key}` };
  const answer = await fetch(url, { headers });
  if (answer.status !== 200) throw new Error(`the API answers ${answer.status}`);
  await answer.text();
  const output = await runProgram(tools.wrk, [
    ...["-t1", `-c${connections}`, `-d${seconds}s`],
    ...["-H", `Authorization: Bearer ${key}`, url],
  ]);
  const fault = /Non-2xx.*|Socket errors.*/.exec(output)?.[0];
  if (fault !== undefined) throw new Error(`the load failed: ${fault}`);
}
