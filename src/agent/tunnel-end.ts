/** How a tunnel, or the attempt to open one, ended. */
export type TunnelEnd =
  | {
      /** No WebSocket came about: network, TLS, time-out, or no usable token. */
      readonly kind: "unreachable";
      /** Node's or our error code, for example `ECONNREFUSED`. */
      readonly code: string;
      readonly tls: boolean;
    }
  | {
      /** The relay answered the handshake with something else than 101. */
      readonly kind: "rejected";
      readonly status: number;
      /** From `Retry-After`, null without one. */
      readonly retryAfterMs: number | null;
    }
  | {
      /** It was up. */
      readonly kind: "closed";
      /** WebSocket close code that the relay sent, 1006 for none; 0 where our side ended it. */
      readonly closeCode: number;
      /** Code of the error that the yamux session ended with. */
      readonly error: string;
      /** One side broke the rules of yamux, in the eyes of our side. */
      readonly protocol: boolean;
    };

/** Codes of Node's TLS stack that do not start with a prefix of their own: certificate checks of OpenSSL. */
const CERTIFICATE_CODES = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "HOSTNAME_MISMATCH",
  "CRL_HAS_EXPIRED",
  "CRL_NOT_YET_VALID",
]);

/** The code of anything thrown: its `code` where it has one, otherwise `fallback`. */
export function codeOf(error: unknown, fallback: string): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") {
    return error.code;
  }
  // A connection tried over several addresses reports an AggregateError without a code of its own.
  if (error instanceof AggregateError && error.errors.length > 0) {
    return codeOf(error.errors[0], fallback);
  }
  return fallback;
}

/** Whether the code says that TLS failed, and not the network under it. */
export function isTlsCode(code: string): boolean {
  return (
    CERTIFICATE_CODES.has(code) ||
    code.startsWith("CERT_") ||
    code.startsWith("ERR_TLS_") ||
    code.startsWith("ERR_SSL_")
  );
}

/** The end of a dial that failed with `error`. */
export function unreachable(error: unknown, fallback: string): TunnelEnd {
  const code = codeOf(error, fallback);
  return { kind: "unreachable", code, tls: isTlsCode(code) };
}

/**
 * Milliseconds that a `Retry-After` field asks for, null where it is absent or unreadable.
 *
 * @param wallNowMs milliseconds since 1970, for the date form
 * @see RFC 9110, section 10.2.3
 */
export function retryAfterMs(field: string | undefined, wallNowMs: number): number | null {
  const text = field?.trim() ?? "";
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!text.endsWith("GMT")) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : Math.max(0, at - wallNowMs);
}
