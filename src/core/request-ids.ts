import { randomBytes } from "node:crypto";

/** What a caller's own `x-request-id` may be, so that it can stand in a log and in a header as it is. */
const ACCEPTED = /^[0-9A-Za-z._-]{8,64}$/;

/** The last digits of a count, ready made: numbers as text are costly. */
const LOW_DIGITS: readonly string[] = Array.from({ length: 1_000 }, (_, low) =>
  String(low).padStart(3, "0"),
);

/** Ids of requests: unique in the fleet by a random prefix a process, cheap by a counter. */
export class RequestIds {
  readonly #prefix = randomBytes(6).toString("hex");
  /** The count is 1,000 times `#high` and `#low`. */
  #high = 0;
  #low = 0;
  #start = `${this.#prefix}-0`;

  next(): string {
    this.#low += 1;
    if (this.#low === LOW_DIGITS.length) {
      this.#low = 0;
      this.#high += 1;
      this.#start = `${this.#prefix}-${this.#high}`;
    }
    return this.#start + LOW_DIGITS[this.#low];
  }

  /** The caller's id where it can be passed on, else one of ours. */
  accept(id: string): string {
    return id !== "" && ACCEPTED.test(id) ? id : this.next();
  }
}
