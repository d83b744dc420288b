import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Role } from "../../src/mux/index.ts";
import { type PeerVersion, skipWithout } from "../support/go.ts";
import { connectPair } from "./mux-end.ts";

/**
 * Y132: the line is full in both directions while each end sends pings at short intervals and gives up on a late
 * answer. 20 s in CI, 4 s elsewhere; HAWSER_SATURATE_SECONDS sets another time, 120 for a run by hand.
 */

const inCi = process.env["CI"] !== undefined && process.env["CI"] !== "";
const seconds = Number(process.env["HAWSER_SATURATE_SECONDS"] ?? (inCi ? 20 : 4));
const PIECE_BYTES = 1_024 * 1_024;
const STREAMS = 8;
const SETTINGS: readonly { version: PeerVersion; role: Role }[] = [
  { version: "yamux-newest", role: "client" },
  { version: "yamux-v0.1.1", role: "server" },
];

describe("Y132: a saturated line kills no session", { concurrency: true }, () => {
  for (const { version, role } of SETTINGS) {
    const options = { skip: skipWithout("go"), timeout: (seconds + 30) * 1_000 };
    test(`${seconds} s (${version}, our role ${role})`, options, async (t) => {
      const { end, peer } = await connectPair(t, {
        version,
        role,
        mux: { keepAliveIntervalMs: 500, keepAliveTimeoutMs: 4_000 },
        args: ["-keepalive", "500ms", "-write-timeout", "4s"],
      });
      const deadline = performance.now() + seconds * 1_000;
      const saturate = async (): Promise<number> => {
        const probe = end.open();
        probe.stream.write(Buffer.from("echo\n"));
        let sent = 0;
        while (performance.now() < deadline) {
          await probe.sendPattern(PIECE_BYTES);
          sent += PIECE_BYTES;
        }
        probe.stream.end();
        assert.equal(await probe.closed, null);
        assert.equal(probe.received, sent);
        return sent;
      };
      const sent = await Promise.all(Array.from({ length: STREAMS }, saturate));
      assert.ok(Math.min(...sent) > 0);
      assert.ok(end.session.isOpen);
      assert.equal((await peer.state()).closed, false);
    });
  }
});
