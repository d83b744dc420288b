import { createHash, randomBytes } from "node:crypto";
import {
  createPairingCode,
  exchangeCredential,
  type NewLoginSession,
  noteSignIn,
  type Store,
  startLoginSession,
  type TenantId,
  tenantId,
  type User,
} from "../../../src/api/store/index.ts";
import { type MintedToken, mintToken } from "../../../src/core/token.ts";
import { noteConnected } from "./tunnels.ts";

export const ISS = "https://idp.example.org";
export const TENANT = tenantId("tenant-one");
export const OTHER_TENANT = tenantId("tenant-two");

/** When the clock of each case begins. */
export const START_MS = 1_800_000_000_000;
export const MINUTE_MS = 60_000;

/** Both limits of login sessions in these tests. */
export const IDLE_MS = 30 * 60_000;
export const ABSOLUTE_MS = 12 * 60 * 60_000;

/** SHA-256 of a text, in hex. */
export function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Signs somebody in at the provider and returns the user. */
export async function person(
  store: Store,
  sub: string,
  tenant: TenantId = TENANT,
  more: { role?: "member" | "admin"; email?: string } = {},
): Promise<User> {
  const { email = `${sub}@example.org`, ...role } = more;
  const user = await noteSignIn(store, tenant, { iss: ISS, sub, email, name: sub, ...role });
  if (user === null) throw new Error(`${sub} is disabled`);
  return user;
}

/** What a sign-in of a user brings, under the key of a cookie of that text. */
export function signIn(
  store: Store,
  user: User,
  cookie: string,
  more: Partial<NewLoginSession> = {},
): NewLoginSession {
  return {
    key: digestOf(cookie),
    userId: user.id,
    iss: user.iss,
    sub: user.sub,
    idpSid: null,
    issuedAt: store.now(),
    absoluteExpiresAt: store.now() + ABSOLUTE_MS,
    authTime: store.now(),
    acr: null,
    amr: ["pwd", "otp"],
    userAgent: "Firefox",
    ip: "192.0.2.1",
    sealedTokens: "sealed",
    ...more,
  };
}

/** Starts a session that must start. */
export async function session(
  store: Store,
  user: User,
  cookie: string,
  more: Partial<NewLoginSession> = {},
) {
  const options = { replacesKey: null };
  const started = await startLoginSession(
    store,
    user.tenant,
    signIn(store, user, cookie, more),
    options,
  );
  if (started === null || started === "overtaken") throw new Error("no session");
  return started.session;
}

/** A new pairing code of a user: the code, and its digest. */
export async function pairingCode(
  store: Store,
  user: User,
): Promise<{ id: string; digest: string }> {
  const digest = digestOf(randomBytes(16).toString("hex"));
  const { id } = await createPairingCode(store, user.tenant, user.id, { digest, prefix: "hwp_0" });
  return { id, digest };
}

/** What a device says of itself. */
export const DEVICE = {
  name: "press",
  model: "m1",
  serial: "serial-1",
  ip: "198.51.100.7",
  userAgent: "hawser-agent/1.0",
  requestId: "r1",
} as const;

/** Pairs a device for a user; it is pending. */
export async function pairedDevice(
  store: Store,
  user: User,
): Promise<{ id: string; token: MintedToken }> {
  const { digest } = await pairingCode(store, user);
  const token = mintToken("device");
  const options = { tokenExpiresAt: null };
  const device = await exchangeCredential(store, { kind: "code", digest }, DEVICE, token, options);
  if (device === null) throw new Error("the code was not good");
  return { id: device.id, token };
}

/** Pairs a device that has connected. */
export async function activeDevice(
  store: Store,
  user: User,
): Promise<{ id: string; token: MintedToken }> {
  const device = await pairedDevice(store, user);
  await noteConnected(store, device.token.ref);
  return device;
}
