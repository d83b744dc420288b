import { SESSION_COOKIE } from "../../core/contract.ts";
import type { HttpError } from "../../core/errors.ts";
import { BYTE_CLASS, byteAt, LOWER_TOKEN } from "../../core/http1/bytes.ts";
import { contentLengthOf } from "../../core/http1/rules.ts";
import { type RequestErrorCode, requestError } from "./errors.ts";

/** Anything that is not HTAB or visible ASCII or space. */
const UNUSUAL = /[^\t\x20-\x7e]/;
/** Never right in a field: control characters, and what uWS puts in place of bytes that are not UTF-8. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const IMPASSABLE = /[\x00-\x08\x0a-\x1f\x7f\ufffd\ud800-\udfff]/u;
/** `uri-host [":" port]` by its characters alone; the device judges the rest. RFC 9110 section 7.2. */
const HOST = /^[A-Za-z0-9\-._~!$&'()*+,;=%:[\]]*$/;
/** Problems that leave open where the request ends. */
const UNFRAMED: ReadonlySet<RequestErrorCode> = new Set([
  "ERR_HTTP_REQUEST_CONTENT_LENGTH",
  "ERR_HTTP_REQUEST_LENGTH_AND_CODING",
  "ERR_HTTP_REQUEST_TRANSFER_ENCODING",
  "ERR_HTTP_REQUEST_TRANSFER_CODING",
]);
/**
 * What the API server says of a caller, and proxies of an address, in all spellings that a server may read as the same name:
 * many make "_" of whatever is neither letter nor digit.
 */
const OURS = /^x[^0-9a-z](?:hawser|forwarded)(?:[^0-9a-z]|$)/;
const X = 0x78;
const OWN_COOKIES: ReadonlySet<string> = new Set(Object.values(SESSION_COOKIE));

/**
 * Collects the fields of one request as uWS hands them over: names in lower case, values decoded as UTF-8.
 * What is hop-by-hop, or decides on routing, length or identity, is picked out; all else is in `text`.
 * One instance serves many requests: `reset`, then `request.forEach(fields.add)`, then `finish`.
 */
export class RequestFields {
  /** What is wrong with the request, null for nothing. */
  problem: HttpError | null = null;
  /**
   * Length or coding contradict each other, so that another reader may see the request end elsewhere than uWS does. There
   * is a problem then, though maybe an earlier one; what follows the head must not be read as a next request.
   */
  unframed = false;
  host = "";
  authorization = "";
  proxyAuthorization = "";
  /** `x-hawser-device`. */
  deviceSelector = "";
  /** -1 where there is none. */
  contentLength = -1;
  chunked = false;
  expectContinue = false;
  upgrade = "";
  /** As received, several lines joined by `, `. */
  forwardedFor = "";
  forwarded = "";
  forwardedHost = "";
  forwardedProto = "";
  via = "";
  requestId = "";
  /** The other fields, each `name: value\r\n`, as bytes: a character is one byte. */
  text = "";
  /** Takes one field; bound, so that it can be handed to `forEach`. */
  readonly add: (name: string, value: string) => void;
  private connection = "";
  private hasHost = false;
  private transferEncoding = "";
  /** Names seen of fields that may stand once, as bits. */
  private seen = 0;
  /** A host that was found right before: the next request names it again, more often than not. */
  private rightHost = "";
  private readonly ofStranger: boolean;

  /** @param options.ofStranger the request is not from the API server: what only that may say is left out */
  constructor(options: { readonly ofStranger?: boolean } = {}) {
    this.ofStranger = options.ofStranger ?? false;
    this.add = (name, value) => {
      this.take(name, value);
    };
  }

  reset(): void {
    this.problem = null;
    this.unframed = false;
    this.host = "";
    this.authorization = "";
    this.proxyAuthorization = "";
    this.deviceSelector = "";
    this.contentLength = -1;
    this.chunked = false;
    this.expectContinue = false;
    this.upgrade = "";
    this.forwardedFor = "";
    this.forwarded = "";
    this.forwardedHost = "";
    this.forwardedProto = "";
    this.via = "";
    this.requestId = "";
    this.text = "";
    this.connection = "";
    this.hasHost = false;
    this.transferEncoding = "";
    this.seen = 0;
  }

  /** Applies what needs all fields: `Connection` options and the rules on body framing. */
  finish(): void {
    if (this.connection !== "") this.removeNominated();
    if (this.transferEncoding !== "") this.checkCoding();
  }

  private refuse(code: RequestErrorCode): void {
    if (UNFRAMED.has(code)) this.unframed = true;
    if (this.problem === null) this.problem = requestError(code);
  }

  /** Marks a field that may stand once; false, and a problem, the second time. */
  private once(bit: number, code: RequestErrorCode = "ERR_HTTP_REQUEST_DUPLICATE_FIELD"): void {
    if ((this.seen & bit) !== 0) this.refuse(code);
    this.seen |= bit;
  }

  private take(name: string, received: string): void {
    if (name === "host" && received === this.rightHost && !this.hasHost) {
      this.hasHost = true;
      this.host = this.rightHost;
      return;
    }
    const value = UNUSUAL.test(received) ? this.bytesOf(received) : received;
    // By length first: a name from uWS is a new string, and comparing it with every known one would cost more.
    switch (name.length) {
      case 2:
        if (name === "te") return;
        break;
      case 3:
        if (name === "via") {
          this.via = joined(this.via, value);
          return;
        }
        break;
      case 4:
        if (name === "host") {
          this.takeHost(value);
          return;
        }
        break;
      case 6:
        if (name === "expect") {
          this.expectContinue ||= value.toLowerCase() === "100-continue";
          return;
        }
        if (name === "cookie" && value.includes(SESSION_COOKIE.loopback)) {
          const others = withoutOwnCookies(value);
          if (others !== "") this.pass(name, others);
          return;
        }
        break;
      case 7:
        if (name === "trailer") return;
        if (name === "upgrade") {
          this.upgrade = joined(this.upgrade, value);
          return;
        }
        break;
      case 9:
        if (name === "forwarded") {
          this.forwarded = joined(this.forwarded, value);
          return;
        }
        break;
      case 10:
        if (name === "connection") {
          this.connection = joined(this.connection, value);
          return;
        }
        if (name === "keep-alive") return;
        break;
      default:
        if (this.takeLong(name, value)) return;
    }
    this.pass(name, value);
  }

  /** The known names of twelve characters and more; true when the field is taken. */
  private takeLong(name: string, value: string): boolean {
    switch (name) {
      case "x-request-id":
        this.requestId = value;
        return true;
      case "authorization":
        this.once(2);
        this.authorization = value;
        return true;
      case "content-length":
        this.takeLength(value);
        return true;
      case "http2-settings":
      case "proxy-connection":
        return true;
      case "x-hawser-device":
        this.once(4);
        this.deviceSelector = value;
        return true;
      case "transfer-encoding":
        // An empty one is as wrong as any other, but must be noticed.
        this.transferEncoding =
          this.transferEncoding === "" ? value || "," : `${this.transferEncoding},${value}`;
        return true;
      case "proxy-authorization":
        this.once(8);
        this.proxyAuthorization = value;
        return true;
      default:
        return name.startsWith("x-forwarded-") && this.takeForwarded(name, value);
    }
  }

  /** All of these are ours to say; those that a trusted proxy may have said are kept. */
  private takeForwarded(name: string, value: string): true {
    if (name === "x-forwarded-for") this.forwardedFor = joined(this.forwardedFor, value);
    else if (name === "x-forwarded-host") this.forwardedHost = joined(this.forwardedHost, value);
    else if (name === "x-forwarded-proto") this.forwardedProto = joined(this.forwardedProto, value);
    return true;
  }

  private takeHost(value: string): void {
    if (this.hasHost || !HOST.test(value)) this.refuse("ERR_HTTP_REQUEST_HOST");
    else this.rightHost = value;
    this.hasHost = true;
    this.host = value;
  }

  private takeLength(value: string): void {
    this.once(1, "ERR_HTTP_REQUEST_CONTENT_LENGTH");
    const length = contentLengthOf(value);
    if (length >= 0) this.contentLength = length;
    else this.refuse("ERR_HTTP_REQUEST_CONTENT_LENGTH");
  }

  private checkCoding(): void {
    const codings = this.transferEncoding.toLowerCase().split(",");
    if (codings.length === 1 && codings[0] === "chunked") {
      this.chunked = true;
      if ((this.seen & 1) !== 0) this.refuse("ERR_HTTP_REQUEST_LENGTH_AND_CODING");
      return;
    }
    // RFC 9112 section 6.1: with another coding before the last, 501; where the last is not chunked, 400.
    const isDelimited = codings.at(-1)?.trim() === "chunked";
    const hasOther = codings.some((coding) => coding.trim() !== "chunked" && coding.trim() !== "");
    this.refuse(
      isDelimited && hasOther
        ? "ERR_HTTP_REQUEST_TRANSFER_CODING"
        : "ERR_HTTP_REQUEST_TRANSFER_ENCODING",
    );
  }

  private pass(name: string, value: string): void {
    for (let i = 0; i < name.length; i++) {
      const code = name.charCodeAt(i);
      if (code > 0x7f || (byteAt(BYTE_CLASS, code) & LOWER_TOKEN) === 0) {
        this.refuse("ERR_HTTP_REQUEST_FIELD_BYTES");
        return;
      }
    }
    if (name.length === 0) {
      this.refuse("ERR_HTTP_REQUEST_FIELD_BYTES");
      return;
    }
    if (this.ofStranger && name.charCodeAt(0) === X && OURS.test(name)) return;
    this.text += `${name}: ${value}\r\n`;
  }

  /** Text beyond ASCII, back as the UTF-8 bytes that it came as, a character each; or a problem. */
  private bytesOf(value: string): string {
    if (IMPASSABLE.test(value)) {
      this.refuse("ERR_HTTP_REQUEST_FIELD_BYTES");
      return "";
    }
    return Buffer.from(value, "utf8").toString("latin1");
  }

  /** Takes out of `text` what `Connection` names. The fields that were picked out are not its to remove. */
  private removeNominated(): void {
    const options = this.connection.toLowerCase();
    if (options === "close" || options === "keep-alive") return;
    const nominated = new Set(options.split(",").map((option) => option.trim()));
    this.text = this.text
      .split("\r\n")
      .filter((line) => line === "" || !nominated.has(line.slice(0, line.indexOf(":"))))
      .join("\r\n");
  }
}

const ownFields = new RequestFields();

/** What is wrong with a request whose end is not known for sure, null for every other: see `RequestFields.unframed`. */
export function framingProblem(req: {
  forEach(take: (name: string, value: string) => void): void;
}): HttpError | null {
  ownFields.reset();
  req.forEach(ownFields.add);
  ownFields.finish();
  return ownFields.unframed ? ownFields.problem : null;
}

/** The cookies without the API server's, which would make a device the person whose browser asks. */
function withoutOwnCookies(value: string): string {
  const nameOf = (pair: string): string => (pair.split("=", 1)[0] ?? "").trim();
  const others = value.split(";").filter((pair) => !OWN_COOKIES.has(nameOf(pair)));
  return others.join(";").trim();
}

function joined(before: string, value: string): string {
  return before === "" ? value : `${before}, ${value}`;
}
