import http, { type ClientRequest } from "node:http";

/** An answer, read whole. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

/** A request that is to be written. */
export interface RawCall {
  readonly out: ClientRequest;
  readonly answer: Promise<RawAnswer>;
}

/**
 * Begins a request whose fields go out as they are, repeated lines apart, on a connection of its own.
 *
 * @param fields names and values in turn; `Host` is added
 */
export function beginCall(url: string, method: string, fields: readonly string[]): RawCall {
  const { host, hostname, port, pathname, search } = new URL(url);
  const out = http.request({
    agent: false,
    host: hostname,
    port,
    path: pathname + search,
    method,
    headers: ["Host", host, ...fields] as unknown as http.OutgoingHttpHeaders,
  });
  const answer = new Promise<RawAnswer>((resolve, reject) => {
    out.on("error", reject);
    out.on("response", (message) => {
      let text = "";
      message.setEncoding("utf8");
      message.on("data", (piece: string) => {
        text += piece;
      });
      message.on("error", reject);
      message.on("end", () => {
        out.destroy();
        resolve({ status: message.statusCode ?? 0, headers: message.headers, text });
      });
    });
  });
  return { out, answer };
}

/** Makes a request and reads its answer. */
export function rawCall(
  url: string,
  fields: readonly string[] = [],
  { method = "GET", body = "" }: { readonly method?: string; readonly body?: string } = {},
): Promise<RawAnswer> {
  const framing = body === "" ? [] : ["Content-Length", String(Buffer.byteLength(body))];
  const { out, answer } = beginCall(url, method, [...framing, ...fields]);
  out.end(body);
  return answer;
}
