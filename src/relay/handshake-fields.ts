import type { HttpRequest } from "uWebSockets.js";

/**
 * What a handshake says, read in one walk over its fields: asking uWS for them one by one costs more than the walk,
 * and would not tell an empty field from none. Of a field that stands more than once the first counts, unless it says
 * otherwise. One instance serves many handshakes; what it holds is good until the next `read`.
 */
export class HandshakeFields {
  authorization = "";
  /** Several lines joined by commas. */
  forwardedFor = "";
  origin = "";
  webSocketKey = "";
  userAgent = "";
  /** A length or a transfer coding is named, even an empty one: there may be a body, which a handshake must not have. */
  namesBody = false;
  readonly #take: (name: string, value: string) => void;

  constructor() {
    this.#take = (name, value) => this.#onField(name, value);
  }

  /** @param req only used during the call */
  read(req: HttpRequest): void {
    this.authorization = "";
    this.forwardedFor = "";
    this.origin = "";
    this.webSocketKey = "";
    this.userAgent = "";
    this.namesBody = false;
    req.forEach(this.#take);
  }

  #onField(name: string, value: string): void {
    // By length first: most fields are none of these.
    switch (name.length) {
      case 6:
        if (name === "origin") this.origin ||= value;
        break;
      case 10:
        if (name === "user-agent") this.userAgent ||= value;
        break;
      case 13:
        if (name === "authorization") this.authorization ||= value;
        break;
      case 14:
        if (name === "content-length") this.namesBody = true;
        break;
      case 15:
        if (name === "x-forwarded-for") {
          this.forwardedFor = this.forwardedFor === "" ? value : `${this.forwardedFor}, ${value}`;
        }
        break;
      case 17:
        if (name === "sec-websocket-key") this.webSocketKey ||= value;
        else if (name === "transfer-encoding") this.namesBody = true;
        break;
      default:
    }
  }
}
