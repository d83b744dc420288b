import type { IncomingMessage } from "node:http";
import { apiError } from "../errors.ts";
import { hasBody } from "../request-fields.ts";
import { requestNames } from "./field-names.ts";
import type { DevicePlace } from "./location.ts";

/** A value that may stand in a field of a request. */
const VISIBLE = /^[!-~]{1,200}$/;
/** What may not stand in a field's value, whatever the client's parser has let through. */
const MALFORMED = /[^\t -~\x80-\xff]/;
/** Methods whose requests say that they have no body. RFC 9110, section 8.6. */
const METHODS_WITH_BODY: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/** What heads of requests to the relay are made with. */
export interface RequestHeadOptions {
  /** Of our own address, which devices are told. */
  readonly base: URL;
  /** What stands before `/internal` in paths; mostly "". */
  readonly relayPrefix: string;
  /** Value of `Authorization`. */
  readonly authorization: string;
}

/** One request, as its head needs it. */
export interface ForwardedRequest {
  readonly request: IncomingMessage;
  readonly method: string;
  readonly requestId: string;
  readonly address: string;
  readonly deviceId: string;
  readonly place: DevicePlace;
  /** As the device sees it. */
  readonly target: string;
  readonly tenantName: string;
  readonly userId: string;
}

/** Writes heads of requests to the relay: what a client may say to a device, and what we say of the client. */
export class RequestHeads {
  readonly #prefix: string;
  /** Fields that all of them have. */
  readonly #fixed: string;

  constructor({ base, relayPrefix, authorization }: RequestHeadOptions) {
    const proto = base.protocol.slice(0, -1);
    this.#prefix = `${relayPrefix}/internal/device/`;
    this.#fixed = `host: ${base.host}\r\nauthorization: ${authorization}\r\nx-forwarded-proto: ${proto}\r\nx-forwarded-host: ${base.host}\r\n`;
  }

  /**
   * The whole head, one character a byte.
   *
   * @throws ApiError `bad_request` for a value that cannot be passed on
   */
  write(forwarded: ForwardedRequest): string {
    const { request, method, requestId, address, deviceId, place, target } = forwarded;
    const { tenantName, userId } = forwarded;
    const user = VISIBLE.test(userId) ? `x-hawser-user: ${userId}\r\n` : "";
    return `${method} ${this.#prefix}${deviceId}/forward${target} HTTP/1.1\r\n${this.#fixed}x-request-id: ${requestId}\r\nx-forwarded-for: ${address}\r\nx-forwarded-prefix: ${place.prefix}\r\nx-hawser-tenant: ${tenantName}\r\n${user}${framingOf(request, method)}${passed(request)}\r\n`;
  }
}

/** Whether a body follows, and of what length. Each hop frames by itself. */
function framingOf(request: IncomingMessage, method: string): string {
  if (!hasBody(request)) return METHODS_WITH_BODY.has(method) ? "content-length: 0\r\n" : "";
  const length = request.headers["content-length"];
  return length === undefined ? "transfer-encoding: chunked\r\n" : `content-length: ${length}\r\n`;
}

/** Fields of the client that reach the device. */
function passed({ rawHeaders, headers }: IncomingMessage): string {
  const nominated = nominatedBy(headers.connection);
  let lines = "";
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (!requestNames.passes(name) || nominated?.has(name.toLowerCase())) continue;
    const value = rawHeaders[at + 1] ?? "";
    if (MALFORMED.test(value)) throw apiError("bad_request");
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

/** Fields that belong to the connection alone, because `Connection` names them; null for none. */
function nominatedBy(connection: string | undefined): ReadonlySet<string> | null {
  if (connection === undefined || connection === "keep-alive" || connection === "close")
    return null;
  return new Set(connection.split(",").map((name) => name.trim().toLowerCase()));
}
