import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { importJWK, SignJWT } from "jose";
import { newSigningKey, writeUnsignedJwt } from "../../../src/access-proxy/index.ts";
import { runCli } from "../cli.ts";
import { testFolder } from "./folder.ts";

/** An answer of the proxy. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** Where a proxy listens: a port of loopback, or a Unix socket. */
export type Place = { readonly port: number } | { readonly socketPath: string };

/** A call to a proxy on a connection of its own. */
export function call(
  place: Place,
  fields: Readonly<Record<string, string>>,
  { body = "", path = "/" } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const out = request({
      host: "127.0.0.1",
      ...place,
      path,
      method: body === "" ? "GET" : "POST",
      headers: fields,
      agent: false,
    });
    out.on("error", reject);
    out.on("response", (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(pieces).toString("utf8");
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    out.end(body);
  });
}

async function serving(t: TestContext, serve: RequestListener): Promise<string> {
  const server = createServer(serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What an access proxy is run with, and who it talks to. */
export interface CommandRig {
  readonly folder: string;
  readonly dataDir: string;
  /** Origin of the target, which `destinations.json` allows. */
  readonly origin: string;
  readonly issuer: string;
  /** Requests that the ID provider has answered. */
  readonly idpCalls: () => number;
  /** Words of a proxy on free ports of loopback. */
  readonly words: readonly string[];
  /** Fields of a call for a user by the tag of its token. */
  fields(tag: string, path?: string): Record<string, string>;
  /** Stores a token for the tag. */
  putToken(tag: string, ...words: string[]): Promise<void>;
  file(name: string): string;
  write(name: string, value: unknown): void;
}

/** An ID provider that gives a signed code token for each request, a target, and the files that name both. */
export async function commandRig(
  t: TestContext,
  target: RequestListener,
  destination: object = {},
): Promise<CommandRig> {
  const folder = testFolder(t);
  const dataDir = join(folder, "data");
  const { privateJwk, publicJwk } = await newSigningKey("ES256", "idp-1");
  const key = await importJWK(privateJwk, "ES256");
  let idpCalls = 0;
  let issuer = "";
  issuer = await serving(t, async (incoming, answer) => {
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const wish = JSON.parse(Buffer.concat(pieces).toString("utf8"));
    idpCalls += 1;
    const code = new SignJWT({
      iss: issuer,
      sub: `code-${idpCalls}`,
      aud: wish.to_client,
      from_client: "https://from.example",
      user_tag: wish.user_tag,
    });
    const codeToken = await code.setProtectedHeader({ alg: "ES256", kid: "idp-1" }).sign(key);
    answer.setHeader("content-type", "application/json");
    answer.end(JSON.stringify({ code_token: codeToken }));
  });
  const origin = await serving(t, target);
  const file = (name: string): string => join(folder, name);
  const write = (name: string, value: unknown): void =>
    writeFileSync(file(name), typeof value === "string" ? value : JSON.stringify(value));
  write("idps.json", [
    { issuer, cooperation_from_endpoint: `${issuer}/coop/from`, jwks: [publicJwk] },
  ]);
  write("destinations.json", [{ origin, allowHttp: true, allowPrivate: true, ...destination }]);
  const made = await runCli(t, ["access-proxy", "keys", "new", "--folder", file("keys")]);
  if (made.code !== 0) throw new Error(made.stderr);
  return {
    folder,
    dataDir,
    origin,
    issuer,
    idpCalls: () => idpCalls,
    words: [
      ...["access-proxy", "--self-id", "https://from.example", "--sig-alg", "ES256"],
      ...["--signing-keys", file("keys"), "--idps", file("idps.json")],
      ...["--destinations", file("destinations.json"), "--data-dir", dataDir],
      ...["--listen-port", "0", "--internal-port", "0"],
    ],
    fields: (tag, path = "/hello") => ({
      "X-Access-Proxy-To": origin + path,
      "X-Access-Proxy-Users": writeUnsignedJwt({ user: { at_tag: tag } }),
    }),
    putToken: async (tag, ...words) => {
      const put = ["access-proxy", "token", "put", "--tag", tag, "--issuer", issuer];
      const facts = ["--expires-in", "3600", "--data-dir", dataDir, ...words];
      const { code, stderr } = await runCli(t, [...put, ...facts], {}, `token-of-${tag}\n`);
      if (code !== 0) throw new Error(stderr);
    },
    file,
    write,
  };
}
