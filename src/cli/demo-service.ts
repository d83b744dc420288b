import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

/** A small HTTP service on loopback: what `hawser dev` puts behind the tunnel. */
export interface DemoService {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  close(): Promise<void>;
}

/** What `/hello` answers. */
export const HELLO = "Hello from the device's side of the tunnel.\n";

const DOWNLOAD_BYTES_MAX = 10 * 1_024 ** 3;
const DOWNLOAD_BYTES_DEFAULT = 1_024 ** 2;
const BLOCK_BYTES = 65_536;

const INDEX = `A small service behind a Hawser tunnel.

/hello              a greeting
/echo               sends back what you send
/download?bytes=N   N bytes, at most 10 GiB; byte i is i modulo 251
`;

/** Starts the service on a free port of loopback. */
export async function startDemoService(): Promise<DemoService> {
  const server = createServer(serverOnRequest);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => closeServer(server) };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function serverOnRequest(request: IncomingMessage, response: ServerResponse): void {
  const [path = "/", query = ""] = (request.url ?? "/").split("?");
  if (path === "/") sendText(response, 200, INDEX);
  else if (path === "/hello") sendText(response, 200, HELLO);
  else if (path === "/echo") echo(request, response);
  else if (path === "/download") {
    download(request, response, new URLSearchParams(query).get("bytes"));
  } else sendText(response, 404, `There is no ${path} here.\n`);
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}

function echo(request: IncomingMessage, response: ServerResponse): void {
  const length = request.headers["content-length"];
  response.writeHead(200, {
    "content-type": request.headers["content-type"] ?? "application/octet-stream",
    ...(length === undefined ? {} : { "content-length": length }),
  });
  // A caller that goes away ends both sides; there is nobody left to tell.
  pipeline(request, response, () => undefined);
}

function download(request: IncomingMessage, response: ServerResponse, asked: string | null): void {
  const bytes = asked === null ? DOWNLOAD_BYTES_DEFAULT : Number(asked);
  if (!/^[0-9]{0,11}$/.test(asked ?? "") || bytes > DOWNLOAD_BYTES_MAX) {
    sendText(response, 400, "bytes must be a whole number, at most 10 GiB.\n");
    return;
  }
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes });
  if (request.method === "HEAD") response.end();
  else sendPattern(response, 0, bytes);
}

/** Writes bytes `from` to `end` of the pattern, no faster than they are taken. */
function sendPattern(response: ServerResponse, from: number, end: number): void {
  let position = from;
  while (position < end) {
    const block = patternBlock(position, Math.min(BLOCK_BYTES, end - position));
    position += block.length;
    if (!response.write(block) && position < end) {
      response.once("drain", () => sendPattern(response, position, end));
      return;
    }
  }
  response.end();
}

const PATTERN = Buffer.from(Array.from({ length: BLOCK_BYTES + 251 }, (_, index) => index % 251));

function patternBlock(position: number, length: number): Buffer {
  const start = position % 251;
  return PATTERN.subarray(start, start + length);
}
