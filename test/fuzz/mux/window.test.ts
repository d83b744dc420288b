import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ack, DEFAULT_WINDOW, data, pattern, syn, TYPE, wu } from "../../support/mux/frames.ts";
import { Harness } from "../../support/mux/harness.ts";
import { seedFromEnvironment } from "../../support/mux/prng.ts";

const seed = seedFromEnvironment(61);

/** Bytes of Data sent on each stream since the last clear. */
function addSent(harness: Harness, sent: Map<number, number>): void {
  for (const one of harness.sent()) {
    if (one.type === TYPE.DATA) sent.set(one.id, (sent.get(one.id) ?? 0) + one.length);
  }
  harness.transport.clear();
}

const deed = fc.record({
  stream: fc.nat({ max: 2 }),
  write: fc.oneof(
    { weight: 3, arbitrary: fc.nat({ max: 2_000 }) },
    { weight: 2, arbitrary: fc.nat({ max: 150_000 }) },
  ),
  credit: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.nat({ max: 3 }) },
    { weight: 2, arbitrary: fc.nat({ max: 200_000 }) },
  ),
  congested: fc.boolean(),
  settles: fc.boolean(),
});

test("Y61: at no moment more Data is sent than the window and all credits", () => {
  fc.assert(
    fc.property(
      fc.array(deed, { minLength: 1, maxLength: 40 }),
      fc.nat({ max: 400_000 }),
      (deeds, synCredit) => {
        const harness = new Harness(
          "server",
          { maxStreamSendQueueBytes: 50_000 },
          { accepts: true },
        );
        harness.receive(syn(1, synCredit), syn(3), syn(5));
        const granted = new Map([
          [1, DEFAULT_WINDOW + synCredit],
          [3, DEFAULT_WINDOW],
          [5, DEFAULT_WINDOW],
        ]);
        const written = new Map<number, number>();
        const sent = new Map<number, number>();
        for (const one of deeds) {
          const id = 1 + 2 * one.stream;
          const { live } = harness.inbound(one.stream);
          harness.transport.buffered = one.congested ? 1_000_000 : 0;
          harness.transport.stuck = one.congested;
          if (one.write > 0) live.write(pattern(one.write));
          written.set(id, (written.get(id) ?? 0) + one.write);
          if (one.credit > 0) {
            granted.set(id, (granted.get(id) ?? 0) + one.credit);
            harness.feed(wu(id, one.credit));
          }
          if (one.settles) harness.settle();
          addSent(harness, sent);
          for (const [stream, bytes] of sent) {
            assert.ok(bytes <= (granted.get(stream) ?? 0), `stream ${stream} sent ${bytes}`);
          }
        }
        harness.transport.stuck = false;
        harness.transport.buffered = 0;
        harness.session.transportDrained();
        harness.settle();
        addSent(harness, sent);
        for (const [id, bytes] of written) {
          const possible = Math.min(bytes, granted.get(id) ?? 0);
          const left = possible - (sent.get(id) ?? 0);
          assert.ok(
            left >= 0 && left < 1_024,
            `stream ${id}: ${left} bytes could leave and did not`,
          );
        }
      },
    ),
    { seed, numRuns: 250 },
  );
});

test("a receiver never grants more than it has consumed, for any pace of reading", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ arrive: fc.nat({ max: 90_000 }), read: fc.nat({ max: 90_000 }) }), {
        minLength: 1,
        maxLength: 60,
      }),
      (rounds) => {
        const harness = new Harness("client", {}, { stream: { consumes: false, keeps: false } });
        const stream = harness.open();
        harness.settle();
        harness.receive(ack(1));
        harness.transport.clear();
        let window = DEFAULT_WINDOW;
        let consumed = 0;
        for (const { arrive, read } of rounds) {
          const size = Math.min(arrive, window);
          if (size > 0) harness.receive(data(1, pattern(size)));
          window -= size;
          const size2 = Math.min(read, stream.live.unconsumed);
          if (size2 > 0) stream.live.consume(size2);
          consumed += size2;
          harness.settle();
          for (const one of harness.sent()) window += one.length;
          harness.transport.clear();
          assert.equal(stream.receivedBytes - consumed, stream.live.unconsumed);
          const beyond = window + stream.live.unconsumed - DEFAULT_WINDOW;
          assert.ok(beyond <= 0, `${beyond} bytes were granted and not consumed`);
          assert.ok(
            window + stream.live.unconsumed > DEFAULT_WINDOW / 2,
            "credit comes by half a window",
          );
        }
      },
    ),
    { seed, numRuns: 250 },
  );
});
