import { z } from "zod";
import { normalisePairingCode, pairingCodeDigest } from "../../core/pairing-code.ts";
import { mintToken, parseToken } from "../../core/token.ts";
import { withoutTokens } from "../access-log.ts";
import { apiError } from "../errors.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../route.ts";
import {
  type Credential,
  type Device,
  type ExchangeStep,
  exchangeCredential,
} from "../store/index.ts";
import { type AnyCall, askerOf } from "./caller.ts";
import { deviceError } from "./errors.ts";
import type { Attempt, ExchangeLimiter } from "./exchange-limiter.ts";
import { type DeviceParts, tokenExpiry } from "./parts.ts";
import { claim, deviceName, timeTextOrNull } from "./shapes.ts";

const BODY_BYTES_MAX = 8_192;
const NAME_LENGTH_MAX = 100;
/** As much of it as the audit log keeps of any. */
const USER_AGENT_LENGTH_MAX = 512;

/** What a device says of itself. More than this is ignored: a device is what its code makes it. */
const enrolling = z.object({
  name: deviceName.optional(),
  model: claim.optional(),
  serial: claim.optional(),
});
type Enrolling = z.output<typeof enrolling>;

/** Called and awaited after each step of an exchange: those of its transaction, and the commit. */
export type OnExchangeStep = (step: ExchangeStep | "committed") => void | Promise<void>;

/** For attempts where limits are taken off. */
const UNLIMITED: Attempt = { settle: () => "counted" };

/** `POST /api/pairing/exchange`: a pairing code or an enrolment key for a device and its token. */
export function exchangeRoute(
  parts: DeviceParts,
  limiter: ExchangeLimiter | null,
  onStep: OnExchangeStep,
): Route {
  return route({
    method: "POST",
    path: "/api/pairing/exchange",
    class: "public",
    reason: "The pairing code or enrolment key in the body is what a device has to show.",
    summary: "Exchanges a pairing code or an enrolment key for a new device and its token.",
    body: {
      kind: "json",
      bytesMax: BODY_BYTES_MAX,
      schema: z.object({
        // Of any type, or missing, so that what is no code at all counts as an attempt and is answered like one.
        code: z.unknown().optional().meta({ type: "string", description: "`hwp_…` or `hwe_…`." }),
        device: enrolling.default({}),
      }),
    },
    responses: {
      201: {
        description: "Taken in. No other answer shows the token.",
        schema: z.object({
          device_id: z.string(),
          token: z.string(),
          tunnel_url: z.string(),
          expires_at: z.iso.datetime().nullable(),
        }),
      },
    },
    handler: async (call) => {
      const { code, device } = call.body;
      const credential = typeof code === "string" ? credentialOf(code) : null;
      const attempt =
        limiter === null ? UNLIMITED : await admitted(parts, limiter, call, credential);
      try {
        return await exchanged(parts, call, { credential, device, attempt, onStep });
      } finally {
        attempt.settle("done");
      }
    },
  });
}

/** What is presented, or null where it is neither form. */
function credentialOf(text: string): Credential | null {
  const code = normalisePairingCode(text);
  if (code !== null) return { kind: "code", digest: pairingCodeDigest(code) };
  const key = parseToken(text.trim());
  if (!key.ok || key.kind !== "enrolment") return null;
  return { kind: "enrolment", ref: key.ref, secretDigest: key.secretDigest };
}

/** @throws ApiError `rate_limited`, `pairing_paused` */
async function admitted(
  parts: DeviceParts,
  limiter: ExchangeLimiter,
  call: AnyCall,
  credential: Credential | null,
): Promise<Attempt> {
  const admission = await limiter.admit(call.address);
  if (!admission.ok) {
    if (admission.isFirst) tellLimit(parts, call, "address");
    throw apiError("rate_limited", { retryAfter: admission.retryAfter });
  }
  // Nobody guesses 256 bits: a fleet that enrols does not wait for what guessers of codes do.
  if (limiter.pausedFor > 0 && credential?.kind !== "enrolment") {
    admission.attempt.settle("done");
    throw deviceError("pairing_paused", { retryAfter: limiter.pausedFor });
  }
  return admission.attempt;
}

/** Told once for each block of an address and each pause, not for each request that meets it. */
function tellLimit(
  { context }: DeviceParts,
  call: AnyCall,
  limit: "address" | "all_addresses",
): void {
  context.audit.record({
    event: "excess_rate_limit_exceeded",
    tenant: null,
    asker: askerOf(call),
    actor: null,
    detail: { route: "/api/pairing/exchange", limit },
  });
}

async function exchanged(
  parts: DeviceParts,
  call: AnyCall,
  given: {
    readonly credential: Credential | null;
    readonly device: Enrolling;
    readonly attempt: Attempt;
    readonly onStep: OnExchangeStep;
  },
) {
  const { context, options } = parts;
  const { credential, device, onStep } = given;
  const token = mintToken("device");
  const tokenExpiresAt = tokenExpiry(parts);
  const name = nameOf(device);
  const made =
    credential === null
      ? null
      : await exchangeCredential(
          context.store,
          credential,
          {
            name,
            model: device.model ?? null,
            serial: device.serial ?? null,
            ip: call.address,
            userAgent: withoutTokens(call.userAgent).slice(0, USER_AGENT_LENGTH_MAX),
            requestId: call.requestId,
          },
          token,
          { tokenExpiresAt, onStep, codesNeedApproval: options.needsApproval },
        );
  if (made === null || credential === null) {
    if (given.attempt.settle("failed") === "paused") {
      tellLimit(parts, call, "all_addresses");
      context.logger.warn("many exchanges failed: pairing codes are not taken for a moment");
    }
    context.audit.record({
      event: "pairing_failed",
      tenant: null,
      asker: askerOf(call),
      actor: null,
      detail: { reason: credential === null ? "malformed" : `${credential.kind}_not_good` },
    });
    throw deviceError("pairing_code_invalid");
  }
  await onStep("committed");
  tellPaired(parts, call, made, { token: token.ref, by: credential.kind });
  return json(201, {
    device_id: made.id,
    token: token.text,
    tunnel_url: options.tunnelUrl,
    expires_at: timeTextOrNull(tokenExpiresAt),
  });
}

/** The transaction has written the row. */
function tellPaired(
  { context }: DeviceParts,
  call: AnyCall,
  device: Device,
  detail: { readonly token: string; readonly by: string },
): void {
  const { tenant, ownerId, id, name, model } = device;
  context.audit.tell({
    event: "pairing_exchanged",
    tenant,
    asker: askerOf(call),
    actor: ownerId,
    objectId: id,
    detail: { ...detail, name, model },
  });
}

/** The name that a device gives itself, else its model and serial number, else a plain word. */
function nameOf({ name, model, serial }: Enrolling): string {
  const claimed = [model, serial].filter((word) => word !== undefined).join(" ");
  const text = name ?? (claimed === "" ? "device" : claimed);
  // Not in the middle of a character.
  return [...text].slice(0, NAME_LENGTH_MAX).join("").trim();
}
