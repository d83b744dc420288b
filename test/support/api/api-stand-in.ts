import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { parseAuthorizeRequest } from "../../../src/core/authorize.ts";
import type {
  AuthorizeAnswer,
  AuthorizeRequest,
  KeyAccepted,
  SecretRefused,
  TokenAccepted,
} from "../../../src/core/contract.ts";
import {
  digestsEqual,
  type MintedToken,
  mintDeviceId,
  mintToken,
} from "../../../src/core/token.ts";

type Row<T> = { readonly digest: string; answer: T | SecretRefused };

const REFUSED: SecretRefused = { ok: false, status: 401 };

/** A device of the stand-in's table, and its token. */
export interface StandInDevice {
  readonly deviceId: string;
  readonly token: MintedToken;
}

/** What stands in for the API server: tables of tokens, keys and devices behind `POST /internal/authorize`. */
export class ApiStandIn {
  readonly secret: string;
  readonly tokens = new Map<string, Row<TokenAccepted>>();
  readonly keys = new Map<string, Row<KeyAccepted>>();
  /** Tenant of each device. */
  readonly devices = new Map<string, string>();
  /** What was asked, in order. */
  readonly calls: AuthorizeRequest[] = [];
  /** Everything that came over the wire, the secret of the calls left out: to look for others in. */
  received = "";
  /** Most calls that were under way at once. */
  atOnce = 0;
  /** Answers wait for this. */
  gate: Promise<void> = Promise.resolve();
  /** Answers with this status instead, 0 for none. */
  failWith = 0;
  #open = 0;
  #server: Server | null = null;
  #port = 0;
  #onCall: (() => void)[] = [];

  constructor(secret: string) {
    this.secret = secret;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** How many checks of secrets and devices were asked in all calls together. */
  get checks(): number {
    return this.calls.reduce(
      (sum, { tokens, keys, devices }) => sum + tokens.length + keys.length + devices.length,
      0,
    );
  }

  /** Adds a device with a token. */
  addDevice(tenant = "t1", expiresAt?: string): StandInDevice {
    const token = mintToken("device");
    const deviceId = mintDeviceId();
    this.devices.set(deviceId, tenant);
    this.tokens.set(token.ref, {
      digest: token.secretDigest,
      answer: {
        ok: true,
        device_id: deviceId,
        user_id: `user-of-${tenant}`,
        tenant_id: tenant,
        expires_at: expiresAt,
      },
    });
    return { deviceId, token };
  }

  /** Adds a key of a tenant. */
  addKey(extras: Partial<KeyAccepted> = {}): MintedToken {
    const key = mintToken("key");
    const answer: KeyAccepted = { ok: true, user_id: "user-of-t1", tenant_id: "t1", ...extras };
    this.keys.set(key.ref, { digest: key.secretDigest, answer });
    return key;
  }

  /** From now on a token or key is refused. The relay is not told. */
  revoke(ref: string, status: 401 | 403 | 429 = 401): void {
    const row = this.tokens.get(ref) ?? this.keys.get(ref);
    if (row !== undefined) row.answer = { ok: false, status };
  }

  /** Resolves when the next call has come, before it is answered. */
  nextCall(): Promise<void> {
    return new Promise((resolve) => this.#onCall.push(resolve));
  }

  /** Holds answers back until the returned function is called. */
  hold(): () => void {
    let release = (): void => {};
    this.gate = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  /** Listens, on the port of before where there was one. */
  async start(): Promise<void> {
    const server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Goes away: connections are cut, new ones refused. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const text = Buffer.concat(pieces).toString("utf8");
    this.received += `${request.method} ${request.url}\n${text}\n`;
    if (request.headers.authorization !== `Bearer ${this.secret}`) {
      response.writeHead(401).end();
      return;
    }
    const asked = parseAuthorizeRequest(text);
    if (request.method !== "POST" || request.url !== "/internal/authorize" || asked === null) {
      response.writeHead(400).end();
      return;
    }
    this.calls.push(asked);
    this.#open += 1;
    this.atOnce = Math.max(this.atOnce, this.#open);
    // As a database would have it: the answer is from before the wait.
    const answer = this.#answer(asked);
    for (const tell of this.#onCall.splice(0)) tell();
    await this.gate;
    this.#open -= 1;
    if (this.failWith !== 0) response.writeHead(this.failWith).end();
    else response.setHeader("content-type", "application/json").end(JSON.stringify(answer));
  }

  #answer(asked: AuthorizeRequest): AuthorizeAnswer {
    const check = <T>(
      rows: ReadonlyMap<string, Row<T>>,
      { ref, digest }: { ref: string; digest: string },
    ): T | SecretRefused => {
      const row = rows.get(ref);
      return row !== undefined && digestsEqual(row.digest, digest) ? row.answer : REFUSED;
    };
    return {
      tokens: asked.tokens.map((secret) => check(this.tokens, secret)),
      keys: asked.keys.map((secret) => check(this.keys, secret)),
      devices: asked.devices.map((deviceId) => {
        const tenant = this.devices.get(deviceId);
        return tenant === undefined ? null : { tenant_id: tenant };
      }),
      revoked: asked.recheck.filter(
        (ref) => (this.tokens.get(ref) ?? this.keys.get(ref))?.answer.ok !== true,
      ),
    };
  }
}

/** Starts one; it ends with the test. */
export async function startApiStandIn(t: TestContext, secret: string): Promise<ApiStandIn> {
  const api = new ApiStandIn(secret);
  await api.start();
  t.after(() => api.stop());
  return api;
}
