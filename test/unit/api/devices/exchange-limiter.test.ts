import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type Admission,
  type Attempt,
  ExchangeLimiter,
} from "../../../../src/api/devices/exchange-limiter.ts";
import { DEVICE_DEFAULTS, type ExchangeLimits } from "../../../../src/api/devices/index.ts";
import { ManualClock } from "../../../../src/core/clock.ts";

const { exchange: DEFAULTS } = DEVICE_DEFAULTS;
assert.ok(DEFAULTS !== null);
const MINUTE_MS = 60_000;

function start(over: Partial<ExchangeLimits> = {}) {
  const clock = new ManualClock();
  const limiter = new ExchangeLimiter({ ...(DEFAULTS as ExchangeLimits), ...over }, clock);
  return { clock, limiter };
}

function admitted(admission: Admission): Attempt {
  assert.ok(admission.ok);
  return admission.attempt;
}

async function fail(limiter: ExchangeLimiter, address: string): Promise<boolean> {
  const admission = await limiter.admit(address);
  if (admission.ok) admission.attempt.settle("failed");
  return admission.ok;
}

describe("ExchangeLimiter", () => {
  it("blocks an address for fifteen minutes after five failures in ten, and no other", async () => {
    const { clock, limiter } = start();
    for (let count = 0; count < 5; count++) assert.ok(await fail(limiter, "192.0.2.1"));
    const refused = await limiter.admit("192.0.2.1");
    assert.deepEqual(refused, { ok: false, retryAfter: 900, isFirst: true });
    clock.advance(15 * MINUTE_MS - 1);
    assert.deepEqual(await limiter.admit("192.0.2.1"), {
      ok: false,
      retryAfter: 1,
      isFirst: false,
    });
    assert.ok(await fail(limiter, "192.0.2.2"));
    clock.advance(1);
    for (let count = 0; count < 5; count++) assert.ok(await fail(limiter, "192.0.2.1"));
    assert.ok(!(await fail(limiter, "192.0.2.1")));
  });

  it("begins to count anew ten minutes after the first failure", async () => {
    const { clock, limiter } = start();
    for (let count = 0; count < 4; count++) assert.ok(await fail(limiter, "192.0.2.1"));
    clock.advance(10 * MINUTE_MS);
    for (let count = 0; count < 5; count++) assert.ok(await fail(limiter, "192.0.2.1"), `${count}`);
    assert.ok(!(await fail(limiter, "192.0.2.1")));
  });

  it("does not take a success for a pardon", async () => {
    const { limiter } = start();
    for (let count = 0; count < 5; count++) {
      admitted(await limiter.admit("192.0.2.1")).settle("done");
      assert.ok(await fail(limiter, "192.0.2.1"));
    }
    assert.ok(!(await limiter.admit("192.0.2.1")).ok);
  });

  it("counts IPv6 by /64", async () => {
    const { limiter } = start();
    for (let count = 0; count < 5; count++)
      assert.ok(await fail(limiter, `2001:db8::${count + 1}`));
    assert.ok(!(await fail(limiter, "2001:db8::ffff")));
    assert.ok(await fail(limiter, "2001:db8:0:1::1"));
  });

  it("tries no more at once than may fail; the others wait, and are refused when these failed", async () => {
    const { limiter } = start();
    const answers: Promise<Admission>[] = [];
    for (let count = 0; count < 20; count++) answers.push(limiter.admit("192.0.2.1"));
    const first = (await Promise.all(answers.slice(0, 5))).map(admitted);
    assert.equal(limiter.waiting, 15);
    for (const attempt of first) attempt.settle("failed");
    const rest = await Promise.all(answers.slice(5));
    assert.ok(rest.every(({ ok }) => !ok));
    assert.equal(rest.filter((each) => !each.ok && each.isFirst).length, 1);
    assert.equal(limiter.waiting, 0);
  });

  it("lets all of a fleet behind one address through, in turn", async () => {
    const { limiter } = start();
    let done = 0;
    let most = 0;
    let open = 0;
    const one = async (): Promise<void> => {
      const attempt = admitted(await limiter.admit("192.0.2.1"));
      open += 1;
      most = Math.max(most, open);
      await Promise.resolve();
      open -= 1;
      done += 1;
      attempt.settle("done");
      // Once is enough.
      attempt.settle("failed");
    };
    await Promise.all(Array.from({ length: 200 }, one));
    assert.deepEqual([done, most], [200, 5]);
    assert.equal(limiter.size, 0);
  });

  it("lets only so many wait, of one address and in all", async () => {
    const { limiter } = start({ failuresMax: 1, waitingPerAddressMax: 2, waitingMax: 3 });
    const [a, b] = [admitted(await limiter.admit("a")), admitted(await limiter.admit("b"))];
    const waiting = [limiter.admit("a"), limiter.admit("a")];
    assert.deepEqual(await limiter.admit("a"), { ok: false, retryAfter: 1, isFirst: false });
    waiting.push(limiter.admit("b"));
    assert.deepEqual(await limiter.admit("b"), { ok: false, retryAfter: 1, isFirst: false });
    assert.equal(limiter.waiting, 3);
    a.settle("done");
    admitted((await waiting[0]) as Admission).settle("done");
    admitted((await waiting[1]) as Admission).settle("done");
    b.settle("failed");
    assert.equal(((await waiting[2]) as Admission).ok, false);
    assert.equal(limiter.waiting, 0);
  });

  it("pauses for a minute after a hundred failures in a minute, wherever they come from", async () => {
    const { clock, limiter } = start();
    for (let count = 0; count < 99; count++) assert.ok(await fail(limiter, `192.0.2.${count}`));
    assert.equal(limiter.pausedFor, 0);
    assert.ok(await fail(limiter, "192.0.2.99"));
    assert.equal(limiter.pausedFor, 60);
    clock.advance(MINUTE_MS - 1);
    assert.equal(limiter.pausedFor, 1);
    clock.advance(1);
    assert.equal(limiter.pausedFor, 0);
    // 99 a minute are let through for ever.
    for (let minute = 0; minute < 5; minute++) {
      for (let count = 0; count < 99; count++) await fail(limiter, `198.51.${minute}.${count}`);
      assert.equal(limiter.pausedFor, 0);
      clock.advance(MINUTE_MS);
    }
  });

  it("bounds what guessers at many addresses get to try", async () => {
    const { clock, limiter } = start();
    let tried = 0;
    const minutes = 30;
    for (let second = 0; second < minutes * 60; second++) {
      for (let address = 0; address < 20; address++) {
        const admission = await limiter.admit(`10.0.${second & 255}.${address}`);
        if (!admission.ok) continue;
        if (limiter.pausedFor === 0) {
          tried += 1;
          admission.attempt.settle("failed");
        } else admission.attempt.settle("done");
      }
      clock.advance(1_000);
    }
    assert.ok(tried > 0 && tried <= 100 * minutes, String(tried));
  });

  it("remembers only so many addresses, and forgets the one that failed longest ago", async () => {
    const { limiter } = start({ addressesMax: 3, failuresMax: 2, globalFailuresMax: 1_000_000 });
    for (const address of ["a", "a", "b", "b", "c", "c"]) assert.ok(await fail(limiter, address));
    assert.equal(limiter.size, 3);
    assert.ok(await fail(limiter, "d"));
    assert.equal(limiter.size, 3);
    for (const address of ["b", "c"]) assert.ok(!(await fail(limiter, address)), address);
    assert.ok(await fail(limiter, "a"));
    for (let count = 0; count < 10_000; count++) await fail(limiter, `x${count}`);
    assert.equal(limiter.size, 3);
  });

  it("never forgets an address with attempts under way, and refuses others before", async () => {
    const { limiter } = start({ addressesMax: 2 });
    const first = admitted(await limiter.admit("a"));
    const second = admitted(await limiter.admit("b"));
    assert.deepEqual(await limiter.admit("c"), { ok: false, retryAfter: 1, isFirst: false });
    first.settle("done");
    admitted(await limiter.admit("c")).settle("done");
    second.settle("done");
    assert.equal(limiter.size, 0);
  });
});
