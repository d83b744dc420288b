import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parseAuthorizeRequest } from "../../src/core/authorize.ts";
import type { AuthorizeAnswer, SecretCheck } from "../../src/core/contract.ts";
import type { Fleet } from "./fleet.ts";

/** What the relay asks, on a port of its own. */
export interface Authorizer {
  readonly url: string;
  /** Keys that were asked about at least once. */
  readonly seen: ReadonlySet<string>;
  close(): void;
}

/** Knows the fleet's devices and a list of keys, and lets all of them in. */
export async function startAuthorizer(
  fleet: Fleet,
  keyDigests: ReadonlyMap<string, string>,
): Promise<Authorizer> {
  const { tokens } = fleet;
  const seen = new Set<string>();
  const isKnown = ({ ref, digest }: SecretCheck): boolean => keyDigests.get(ref) === digest;
  const answerTo = (text: string): AuthorizeAnswer => {
    const asked = parseAuthorizeRequest(text);
    if (asked === null) throw new Error("the relay asked something that is not in the contract");
    for (const { ref } of asked.keys) seen.add(ref);
    const refused = { ok: false, status: 401 } as const;
    const owner = { user_id: "bench", tenant_id: "bench" };
    return {
      tokens: asked.tokens.map((check) => {
        const token = tokens.get(check.ref);
        if (token?.digest !== check.digest) return refused;
        return { ok: true, device_id: token.deviceId, ...owner };
      }),
      keys: asked.keys.map((check) => (isKnown(check) ? { ok: true, ...owner } : refused)),
      devices: asked.devices.map((id) =>
        fleet.deviceIds.includes(id) ? { tenant_id: "bench" } : null,
      ),
      revoked: asked.recheck.filter((ref) => !tokens.has(ref) && !keyDigests.has(ref)),
    };
  };
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    request.on("end", () => {
      response.setHeader("content-type", "application/json");
      // Reports of tunnels come to the same address.
      const isReport = request.url === "/internal/tunnels";
      const answer = isReport ? { taken: JSON.parse(text).events.length } : answerTo(text);
      response.end(JSON.stringify(answer));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, close };
}
