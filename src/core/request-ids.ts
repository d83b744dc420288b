import { randomBytes } from "node:crypto";

/** What a caller's own `x-request-id` may be, so that it can stand in a log and in a header as it is. */
const ACCEPTED = /^[0-9A-Za-z._-]{8,64}$/;

/** Ids of requests: unique in the fleet by a random prefix a process, cheap by a counter. */
export class RequestIds {
  readonly #prefix = randomBytes(6).toString("hex");
  #count = 0;

  next(): string {
    this.#count += 1;
    // Decimal: a radix of its own would cost a tenth of a microsecond.
    return `${this.#prefix}-${this.#count}`;
  }

  /** The caller's id where it can be passed on, else one of ours. */
  accept(id: string): string {
    return id !== "" && ACCEPTED.test(id) ? id : this.next();
  }
}
