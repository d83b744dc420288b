import type { TestContext } from "node:test";
import { pino } from "pino";
import { type Agent, connect } from "../../../src/agent/index.ts";
import { mintDeviceId, mintToken } from "../../../src/core/token.ts";
import {
  RELAY_DEFAULTS,
  type Relay,
  type RelayOptions,
  startRelay,
} from "../../../src/relay/index.ts";
import type { CallerGate, TunnelGate } from "../../../src/relay/ports.ts";

const REFUSED = { ok: false, status: 401, code: "ERR_RELAY_UNAUTHORIZED", retryAfter: 0 } as const;

/** A relay in this process with one device's token and one key. */
export interface Harness {
  readonly relay: Relay;
  readonly deviceId: string;
  /** A known device that never connects. */
  readonly absentId: string;
  readonly token: string;
  readonly key: string;
  /** Lines of the log, parsed. */
  readonly log: Record<string, unknown>[];
  /** Connects an agent in front of a local port, and waits until it is up. */
  agent(localPort: number): Promise<Agent>;
  /** The start of a request: request line, `host` and the key. */
  head(method: string, path: string, ...fields: string[]): string;
}

/** Starts a relay on free ports; everything ends with the test. */
export async function startHarness(
  t: TestContext,
  options: Partial<RelayOptions> = {},
  gates: { callerGate?: CallerGate } = {},
): Promise<Harness> {
  const deviceId = mintDeviceId();
  const absentId = mintDeviceId();
  const token = mintToken("device");
  const key = mintToken("key");
  const log: Record<string, unknown>[] = [];
  const tunnelGate: TunnelGate = {
    authenticateDevice: (text) =>
      text === token.text
        ? { ok: true, value: { deviceId, tokenRef: token.ref, userId: "u" } }
        : REFUSED,
    knowsDevice: (id) => id === deviceId || id === absentId,
  };
  const callerGate: CallerGate = gates.callerGate ?? {
    authenticateCaller: (text) =>
      text === key.text
        ? { ok: true, value: { keyId: key.ref, userId: "u", limit: null, allows: () => true } }
        : REFUSED,
  };
  const relay = await startRelay(
    {
      ...RELAY_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: 0,
      internalPort: 0,
      internalSecret: "a-secret-of-the-forward-tests-0123456789",
      ...options,
    },
    {
      tunnelGate,
      callerGate,
      logger: pino(
        { level: "debug" },
        {
          write: (line: string) =>
            log.push(
              ...line
                .trim()
                .split("\n")
                .map((l) => JSON.parse(l)),
            ),
        },
      ),
    },
  );
  t.after(() => relay.close());
  return {
    relay,
    deviceId,
    absentId,
    token: token.text,
    key: key.text,
    log,
    agent: async (localPort) => {
      const agent = connect({
        relay: `ws://127.0.0.1:${relay.port}`,
        token: token.text,
        to: `http://127.0.0.1:${localPort}`,
        backoffBaseMs: 10,
        backoffCapMs: 50,
        stableMs: 0,
      });
      t.after(() => agent.close({ drainMs: 0 }));
      await agent.ready();
      return agent;
    },
    head: (method, path, ...fields) =>
      [
        `${method} /d/${deviceId}${path} HTTP/1.1`,
        "Host: relay.example",
        `Authorization: Bearer ${key.text}`,
        ...fields,
        "",
        "",
      ].join("\r\n"),
  };
}
