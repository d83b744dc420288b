import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** A request as it came. */
export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly authorization: string;
  /** The JSON body; undefined for none. */
  readonly body: unknown;
}

/** What one request is answered with. */
export interface Scripted {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An HTTP server that answers as a test tells it. */
export interface ScriptedApi {
  readonly url: string;
  readonly asked: Asked[];
}

/**
 * Starts one; it is closed after the test.
 *
 * @param answer called for each request, in the order in which their bodies end
 */
export async function startScriptedApi(
  t: TestContext,
  answer: (asked: Asked) => Scripted,
): Promise<ScriptedApi> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const text = await textOf(request);
    const one: Asked = {
      method: request.method ?? "",
      target: request.url ?? "",
      authorization: request.headers.authorization ?? "",
      body: text === "" ? undefined : JSON.parse(text),
    };
    asked.push(one);
    const { status = 200, body, headers = {} } = answer(one);
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(body === undefined ? "" : JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}
