import { mintDeviceId } from "../../core/token.ts";
import { insertAuditEvent } from "./audit-events.ts";
import { insertFirstToken, type TokenDigest } from "./device-tokens.ts";
import { ACTIVATION_MS, type Device, insertDevice, type NewDevice } from "./devices.ts";
import { claimEnrolmentKey } from "./enrolment-keys.ts";
import { claimPairingCode } from "./pairing-codes.ts";
import type { Store } from "./store.ts";

/** What a device presents: a pairing code by its digest, or an enrolment key. */
export type Credential =
  | { readonly kind: "code"; readonly digest: string }
  | ({ readonly kind: "enrolment" } & TokenDigest);

/** A device that asks to be taken in. */
export interface EnrollingDevice extends Omit<NewDevice, "tags"> {
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly requestId: string | null;
}

/** The steps of an exchange, in their order. All are one transaction. */
export type ExchangeStep = "claimed" | "device_created" | "token_stored" | "audited";

/** Options of {@link exchangeCredential}. */
export interface ExchangeOptions {
  /** When the token stops to be good, or null. */
  readonly tokenExpiresAt: number | null;
  /** How long the device may take to connect. */
  readonly activationMs?: number;
  /** A device that was paired by a code waits for a person's approval. One that was enrolled by a key does not. */
  readonly codesNeedApproval?: boolean;
  /** Called and awaited after each step, before the commit. What it throws undoes everything. It must not use the store. */
  readonly onStep?: (step: ExchangeStep) => void | Promise<void>;
}

/**
 * Exchanges a pairing code or a use of an enrolment key for a device with a token, in one transaction: claim, device,
 * token, audit event, commit. A failure before the commit leaves no device and no token, and the code as good as it was.
 * A failure after it leaves a device that nobody has the token of; it is removed when it does not connect in time.
 *
 * Tenant and owner come from the code or key alone. The device is always a new one, whatever serial it claims.
 *
 * @param token what the caller has minted and will answer with
 * @returns null for whatever is wrong with the code or key, without a word which
 */
export function exchangeCredential(
  store: Store,
  credential: Credential,
  device: EnrollingDevice,
  token: TokenDigest,
  options: ExchangeOptions,
): Promise<Device | null> {
  const { tokenExpiresAt, activationMs = ACTIVATION_MS, onStep = () => {} } = options;
  return store.transaction(async (queries) => {
    const now = store.now();
    const id = mintDeviceId();
    const grant =
      credential.kind === "code"
        ? await claimPairingCode(queries, credential.digest, { now, deviceId: id })
        : await claimEnrolmentKey(queries, credential, now);
    if (grant === null) return null;
    const { tenant, ownerId, tags } = grant;
    await onStep("claimed");
    const { name, model, serial } = device;
    const created = await insertDevice(
      queries,
      tenant,
      ownerId,
      { name, model, serial, tags },
      {
        id,
        now,
        activateBy: now + activationMs,
        awaitsApproval: credential.kind === "code" && options.codesNeedApproval === true,
      },
    );
    await onStep("device_created");
    await insertFirstToken(queries, tenant, id, token, { now, expiresAt: tokenExpiresAt });
    await onStep("token_stored");
    await insertAuditEvent(queries, tenant, now, {
      event: "pairing_exchanged",
      requestId: device.requestId,
      actor: ownerId,
      objectId: id,
      ip: device.ip,
      userAgent: device.userAgent,
      detail: { token: token.ref, by: credential.kind, name, model },
    });
    await onStep("audited");
    return created;
  });
}
