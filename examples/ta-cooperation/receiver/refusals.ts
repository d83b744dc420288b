import type { IncomingMessage } from "node:http";

/** What a test wants to be refused: the next request, once so many bytes of its body have been read. */
export class Refusals {
  #bodyBytes: number | null = null;

  /** @param bodyBytes 0 reads nothing; a body that ends before is refused at its end */
  order(bodyBytes: number): void {
    this.#bodyBytes = bodyBytes;
  }

  /** Whether this request is the one; resolves when enough of its body has been read. Asked once a request. */
  async take(request: IncomingMessage): Promise<boolean> {
    const wanted = this.#bodyBytes;
    if (wanted === null) return false;
    this.#bodyBytes = null;
    if (wanted === 0) return true;
    let bytes = 0;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        request.off("data", onData);
        request.pause();
        resolve();
      };
      const onData = (chunk: Buffer): void => {
        bytes += chunk.length;
        if (bytes >= wanted) done();
      };
      request.on("data", onData);
      request.once("end", done);
      request.once("close", done);
    });
    return true;
  }
}
