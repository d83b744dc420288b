import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import {
  checkOidcOptions,
  OidcError,
  type OidcErrorCode,
  type OidcOptions,
  RelyingParty,
  type SignedIn,
} from "../../../src/api/oidc/index.ts";
import { MemoryClients, MemoryLogouts, MemoryPending, RecordingLog, TestTime } from "./ports.ts";
import { type Claims, ScriptedIdp } from "./scripted-idp.ts";

export const BASE_URL = "https://app.example.org";
export const CLIENT_SECRET = "canary-client-secret-7c1f0a55";

/** A relying party in front of a scripted provider. */
export interface Rig {
  readonly time: TestTime;
  readonly idp: ScriptedIdp;
  readonly log: RecordingLog;
  readonly browser: MemoryPending;
  readonly logouts: MemoryLogouts;
  readonly clients: MemoryClients;
  readonly party: RelyingParty;
  /** Begins a sign-in; returns the authorization URL. */
  begin(returnTo?: unknown, reauth?: boolean): Promise<string>;
  /** A whole sign-in. `patch` changes the query of the callback. */
  signIn(patch?: Claims): Promise<SignedIn>;
  /** A whole sign-in that must fail with this code. */
  refused(code: OidcErrorCode, patch?: Claims): Promise<OidcError>;
}

/** Builds one; `options` go over those of a confidential client. */
export async function rig(t: TestContext, options: OidcOptions = {}): Promise<Rig> {
  const time = new TestTime();
  const idp = await new ScriptedIdp(time).start(t);
  const log = new RecordingLog();
  const logouts = new MemoryLogouts();
  const clients = new MemoryClients();
  const settings = checkOidcOptions({
    publicBaseUrl: BASE_URL,
    oidcIssuer: idp.issuer,
    oidcAllowInsecure: true,
    oidcClientId: "hawser",
    oidcClientAuth: "client_secret_basic",
    oidcClientSecret: CLIENT_SECRET,
    apiJwtIssuers: idp.issuer,
    apiJwtAudience: "https://api.example.org",
    ...options,
  });
  const ports = { clock: time, timers: time, log, random: () => 0.5 };
  const party = new RelyingParty(settings, ports, { logouts, machineClients: clients });
  t.after(() => party.close());
  const browser = new MemoryPending();
  const begin: Rig["begin"] = (returnTo = "/devices", reauth = false) =>
    party.signIn.begin({ returnTo, reauth }, browser);
  const signIn: Rig["signIn"] = async (patch = {}) =>
    await party.signIn.finish(idp.authorize(await begin(), patch), browser);
  const refused: Rig["refused"] = (code, patch) => rejected(() => signIn(patch), code);
  return { time, idp, log, browser, logouts, clients, party, begin, signIn, refused };
}

/** The error of a call that must fail with this code. */
export async function rejected(
  call: () => Promise<unknown>,
  code: OidcErrorCode,
): Promise<OidcError> {
  let found: unknown = null;
  await assert.rejects(call, (error) => {
    found = error;
    return error instanceof OidcError && assert.equal(error.code, code) === undefined;
  });
  assert.ok(found instanceof OidcError);
  assert.equal(found.cause, undefined, "an error has no cause");
  return found;
}
