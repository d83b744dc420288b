import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  ack,
  concat,
  data,
  describe,
  FLAG,
  fin,
  frame,
  goAway,
  parseFrames,
  ping,
  pong,
  rst,
  syn,
  type WireFrame,
  wu,
} from "../../support/mux/frames.ts";
import { Harness } from "../../support/mux/harness.ts";
import { seedFromEnvironment } from "../../support/mux/prng.ts";

const seed = seedFromEnvironment(20_26);
const options = { seed, numRuns: 400 } as const;

/** One step of a conversation that a correct peer could have, as a client. */
type Step =
  | { kind: "open"; payload: number }
  | { kind: "data"; stream: number; bytes: number }
  | { kind: "credit"; stream: number; credit: number }
  | { kind: "fin"; stream: number }
  | { kind: "finWithData"; stream: number; bytes: number }
  | { kind: "rst"; stream: number }
  | { kind: "ping"; value: number }
  | { kind: "pong"; value: number }
  | { kind: "goAway" }
  | { kind: "ack"; stream: number };

const streamIndex = fc.nat({ max: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("open" as const), payload: fc.nat({ max: 40 }) }),
  fc.record({
    kind: fc.constant("data" as const),
    stream: streamIndex,
    bytes: fc.nat({ max: 300 }),
  }),
  fc.record({
    kind: fc.constant("credit" as const),
    stream: streamIndex,
    credit: fc.nat({ max: 100_000 }),
  }),
  fc.record({ kind: fc.constant("fin" as const), stream: streamIndex }),
  fc.record({
    kind: fc.constant("finWithData" as const),
    stream: streamIndex,
    bytes: fc.nat({ max: 100 }),
  }),
  fc.record({ kind: fc.constant("rst" as const), stream: streamIndex }),
  fc.record({ kind: fc.constant("ping" as const), value: fc.nat() }),
  fc.record({ kind: fc.constant("pong" as const), value: fc.nat() }),
  fc.record({ kind: fc.constant("goAway" as const) }),
  fc.record({ kind: fc.constant("ack" as const), stream: streamIndex }),
);

/** The bytes of a conversation. Streams are 1, 3, 5, …; a step on a stream not yet open is left out. */
function encodeSteps(steps: readonly Step[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let opened = 0;
  const ended = new Set<number>();
  for (const one of steps) {
    if (one.kind === "open") {
      const id = 1 + 2 * opened++;
      parts.push(one.payload === 0 ? syn(id) : data(id, letters(one.payload), FLAG.SYN));
    } else if (one.kind === "ping") parts.push(ping(one.value));
    else if (one.kind === "pong") parts.push(pong(one.value));
    else if (one.kind === "goAway") parts.push(goAway(0));
    else if (one.stream < opened) parts.push(...onStream(one, 1 + 2 * one.stream, ended));
  }
  return concat(parts);
}

function onStream(one: Step, id: number, ended: Set<number>): Uint8Array[] {
  switch (one.kind) {
    case "credit":
      return [wu(id, one.credit)];
    case "ack":
      return [ack(id)];
    case "rst":
      ended.add(id);
      return [rst(id)];
    case "fin":
      ended.add(id);
      return [fin(id)];
    case "data":
      return ended.has(id) ? [] : [data(id, letters(one.bytes))];
    case "finWithData":
      if (ended.has(id)) return [];
      ended.add(id);
      return [data(id, letters(one.bytes), FLAG.FIN)];
    default:
      return [];
  }
}

const letters = (count: number) =>
  Array.from({ length: count }, (_, n) => String.fromCharCode(97 + (n % 26))).join("");

/** All that can be seen of a session that was fed these messages within one turn. */
function outcome(messages: readonly Uint8Array[], detach: boolean): unknown {
  const harness = new Harness(
    "server",
    {},
    { accepts: true, afterReceive: detach ? "detach" : "overwrite" },
  );
  for (const message of messages) harness.feed(message);
  harness.settle();
  return {
    streams: harness.announced.map((one) => ({
      id: one.live.id,
      text: one.text,
      others: one.events.filter((event) => !event.startsWith("data")),
    })),
    goAways: harness.goAways,
    sent: harness.sentNotation(),
    open: harness.session.isOpen,
    closes: harness.transport.closeCodes(),
  };
}

/** Cuts bytes into messages at the given shares of their length. */
function cutAt(bytes: Uint8Array, shares: readonly number[]): Uint8Array[] {
  const cuts = [...new Set(shares.map((share) => Math.floor(share * bytes.length)))].sort(
    (a, b) => a - b,
  );
  const messages: Uint8Array[] = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    if (cut > from) messages.push(bytes.slice(from, cut));
    from = cut;
  }
  return messages;
}

test("any split of a correct conversation gives the same events", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 30 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 }),
      fc.boolean(),
      (steps, shares, detach) => {
        const bytes = encodeSteps([{ kind: "open", payload: 3 }, ...steps]);
        const whole = outcome([bytes], false);
        assert.deepEqual(outcome(cutAt(bytes, shares), detach), whole);
      },
    ),
    options,
  );
});

test("any split of any bytes gives the same outcome", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 80 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 10 }),
      (bytes, shares) => {
        const start = concat([syn(1), data(1, "x"), bytes]);
        assert.deepEqual(outcome(cutAt(start, shares), true), outcome([start], false));
      },
    ),
    options,
  );
});

const uint32 = fc.integer({ min: 0, max: 0xffffffff });

test("what a session encodes is what was asked of it: decode(encode(x)) is x", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), { maxLength: 12 }),
      fc.array(uint32, { maxLength: 8 }),
      (writes, pings) => {
        const harness = new Harness("client");
        const stream = harness.open();
        for (const bytes of writes) stream.live.write(bytes);
        for (const value of pings) harness.feed(ping(value));
        harness.settle();
        const sent = harness.sent();
        const payload = concat(sent.map((one) => one.payload));
        assert.equal(Buffer.compare(payload, concat(writes)), 0);
        const replies = sent.filter((one) => one.type === 2).map((one) => one.length);
        assert.deepEqual(replies, pings);
        assert.deepEqual(
          describe(concat(sent.map(encode)))[0]?.replace(/^Ping.*/, ""),
          wuOrNothing(sent),
        );
      },
    ),
    options,
  );
});

const encode = (one: WireFrame) => frame(one.type, one.flags, one.id, one.length, one.payload);

/** The first stream frame is the SYN; a reply may come before it. */
function wuOrNothing(sent: readonly WireFrame[]): string | undefined {
  return sent[0]?.type === 2 ? "" : "WU+SYN(1,0)";
}

test("what one session sends, another understands", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 5_000 }), { minLength: 1, maxLength: 20 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 }),
      (writes, shares) => {
        const client = new Harness("client");
        const stream = client.open();
        for (const bytes of writes) stream.live.write(bytes);
        stream.live.end();
        client.settle();
        client.receive(ack(1));
        const server = new Harness("server", {}, { accepts: true, afterReceive: "detach" });
        for (const message of cutAt(client.transport.bytes(), shares)) server.feed(message);
        server.settle();
        const received = concat(server.inbound().chunks);
        assert.equal(Buffer.compare(received, concat(writes)), 0);
        assert.equal(server.inbound().events.at(-1), "end");
      },
    ),
    { ...options, numRuns: 150 },
  );
});

test("the frame builder of the tests reads what it writes", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 0xffff }),
      uint32,
      fc.uint8Array({ maxLength: 50 }),
      uint32,
      (type, flags, id, payload, value) => {
        const bytes =
          type === 0 ? frame(0, flags, id, payload.length, payload) : frame(type, flags, id, value);
        const [one] = parseFrames(bytes);
        assert.ok(one !== undefined);
        assert.deepEqual(encode(one), bytes);
        assert.equal(one.id, id);
      },
    ),
    options,
  );
});
