import type { HttpResponse } from "uWebSockets.js";
import type { SessionPage } from "../core/contract.ts";
import type { TunnelStore } from "./tunnel.ts";

/** Sessions put into text at a time: about a millisecond. Between two such steps the relay serves others. */
const STEP = 500;
const HEAD = "200 OK\r\ncontent-type: application/json\r\ncache-control: no-store";

/**
 * One answer of `GET /internal/sessions`, made in steps so that a listing of 10,000 stalls nobody.
 *
 * What changes between two steps shows as it does between two pages: a device that is connected all the time is in
 * the listing once.
 */
export class SessionListing {
  readonly #store: TunnelStore;
  readonly #userId: string | null;
  #left: number;
  #page: SessionPage = { sessions: [], total: 0 };
  #cursor: string | null;
  #bytes = 0;
  #aborted = false;

  /**
   * @param limit 1 to 10,000
   * @param cursor `next` of the page before, null for the first page
   * @param userId only this user's sessions, null for all
   */
  constructor(store: TunnelStore, limit: number, cursor: string | null, userId: string | null) {
    this.#store = store;
    this.#left = limit;
    this.#cursor = cursor;
    this.#userId = userId;
  }

  /** Reads the first step. @throws AppError `ERR_SESSION_CURSOR_INVALID` */
  begin(): void {
    this.#step();
  }

  /**
   * Answers. Call in the route handler.
   *
   * @param done told once how many bytes the body had, unless the client left
   */
  send(res: HttpResponse, isHead: boolean, done: (bytes: number) => void): void {
    if (isHead) {
      res.writeStatus(HEAD).endWithoutBody();
      done(0);
      return;
    }
    const { total } = this.#page;
    const first = `{"sessions":[${this.#rows()}`;
    if (!this.#more()) {
      const text = first + this.#tail(total);
      res.writeStatus(HEAD).end(text);
      done(Buffer.byteLength(text));
      return;
    }
    res.onAborted(() => {
      this.#aborted = true;
    });
    res.writeStatus(HEAD);
    this.#write(res, first);
    const next = (): void => {
      if (this.#aborted) return;
      this.#step();
      res.cork(() => {
        const rows = this.#rows();
        if (rows !== "") this.#write(res, `,${rows}`);
        if (this.#more()) {
          setImmediate(next);
          return;
        }
        const tail = this.#tail(total);
        res.end(tail);
        done(this.#bytes + tail.length);
      });
    };
    setImmediate(next);
  }

  #step(): void {
    this.#page = this.#store.list({
      limit: Math.min(STEP, this.#left),
      ...(this.#cursor === null ? {} : { cursor: this.#cursor }),
      ...(this.#userId === null ? {} : { userId: this.#userId }),
    });
    this.#left -= this.#page.sessions.length;
    this.#cursor = this.#page.next ?? null;
  }

  #more(): boolean {
    return this.#left > 0 && this.#cursor !== null;
  }

  #rows(): string {
    return this.#page.sessions.map((session) => JSON.stringify(session)).join(",");
  }

  #tail(total: number): string {
    const next = this.#cursor === null ? "" : `,"next":${JSON.stringify(this.#cursor)}`;
    return `],"total":${total}${next}}`;
  }

  #write(res: HttpResponse, text: string): void {
    this.#bytes += Buffer.byteLength(text);
    res.write(text);
  }
}
