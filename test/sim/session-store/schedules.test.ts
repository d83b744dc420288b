/**
 * Interleavings of register, replace, heartbeat, expiry, close and listing, drawn from seeded schedules and compared
 * after every step with a model that is too simple to be wrong: an array in the order of registration.
 *
 * `HAWSER_SEED=<n>` replays the one schedule of that seed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../src/core/clock.ts";
import { InMemorySessionStore, type SessionQuery } from "../../../src/relay/session-store.ts";
import { FakeSession } from "../../support/fake-session.ts";

const SCHEDULES = 2_500;
const STEPS = 120;
const DEVICES = 6;
const USERS = 2;
const EXPIRE_AFTER_MS = 40;
const CLOSE_FAILED = new Error("close failed");

/** What a run met; each must be met often, so that a schedule that explores nothing is noticed. */
interface Met {
  registered: number;
  replacedByDevice: number;
  replacedByToken: number;
  staleUnregister: number;
  unregistered: number;
  expired: number;
  savedBySecondCheck: number;
  reentrantRegister: number;
  reentrantExpiry: number;
  closeThrew: number;
  lateBeat: number;
  staleTouch: number;
  partialCleanup: number;
  walks: number;
  walkOverChurn: number;
}

/** One session in the model. */
interface Entry {
  readonly session: FakeSession;
  beatAt: number;
}

/** One paged walk in progress: who was there at its start and since, and whom it met. */
interface Walk {
  readonly userId: string | null;
  cursor: string | undefined;
  staying: Set<string>;
  readonly met: Map<string, number>;
  churned: boolean;
}

class Schedule {
  readonly #random: () => number;
  readonly #clock = new ManualClock(1_000);
  readonly #store: InMemorySessionStore<FakeSession>;
  readonly #met: Met;
  #model: Entry[] = [];
  /** Everyone that ever was, for late clean-ups of those long replaced. */
  readonly #all: FakeSession[] = [];
  /** What the model says was asked of each session that left; compared with what was. */
  readonly #ended = new Map<FakeSession, "close" | "displace">();
  #walk: Walk | null = null;
  /** What came out of a close without having been put there: a check that failed, most likely. */
  #failures: unknown[] = [];
  #thrown = 0;
  #heard = 0;

  constructor(seed: number, met: Met) {
    this.#random = mulberry32(seed);
    this.#met = met;
    this.#store = new InMemorySessionStore<FakeSession>(this.#clock, {
      onCloseError: (_, error) => {
        if (error === CLOSE_FAILED) this.#heard += 1;
        else this.#failures.push(error);
      },
    });
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      this.#step();
      this.#compare();
    }
    while (this.#walk !== null) this.#walkOn(this.#walk);
    // What is closed may register another or let one live, and so more than one round may be needed.
    for (let round = 0; this.#store.size > 0; round++) {
      assert.ok(round < 100, "in the end nobody is left");
      this.#clock.advance(EXPIRE_AFTER_MS + 1);
      this.#expire(Number.POSITIVE_INFINITY);
      this.#compare();
    }
  }

  #step(): void {
    const choice = this.#random();
    if (choice < 0.1) this.#clock.advance(this.#integer(40));
    else if (choice < 0.4) this.#register(this.#newSession());
    else if (choice < 0.52) this.#unregister();
    else if (choice < 0.67) this.#heartbeat();
    else if (choice < 0.74) this.#lateBeat();
    else if (choice < 0.78) this.#staleTouch();
    else if (choice < 0.88) this.#expire(this.#random() < 0.5 ? 1 : Number.POSITIVE_INFINITY);
    else if (this.#walk === null) this.#walk = this.#startWalk();
    else this.#walkOn(this.#walk);
  }

  #newSession(): FakeSession {
    const device = this.#integer(DEVICES);
    // Two tokens a device; now and then one that belonged to another device.
    const owner = this.#random() < 0.1 ? this.#integer(DEVICES) : device;
    const token = `vAc_${owner}-${this.#integer(2)}`;
    const session = new FakeSession(this.#clock, `d${device}`, token, `u${this.#integer(USERS)}`);
    const mood = this.#random();
    session.onEnd = (how) => this.#sessionOnEnd(session, how, mood);
    return session;
  }

  /** Runs within the store's call of `close` or `displace`. */
  #sessionOnEnd(session: FakeSession, how: "close" | "displace", mood: number): void {
    if (how === "close") this.#expired(session);
    else assert.equal(this.#ended.get(session), "displace");
    assert.equal(this.#store.unregister(session), false, "it has been forgotten before");
    if (mood < 0.15) {
      this.#met.closeThrew += 1;
      this.#thrown += 1;
      throw CLOSE_FAILED;
    }
    if (mood < 0.25) {
      this.#met.reentrantRegister += 1;
      this.#register(this.#newSession());
    } else if (mood < 0.3) {
      this.#met.reentrantExpiry += 1;
      this.#expire(Number.POSITIVE_INFINITY);
    } else if (mood < 0.5) {
      this.#heartbeat();
    }
  }

  #expired(session: FakeSession): void {
    const entry = this.#model.find((candidate) => candidate.session === session);
    assert.ok(entry !== undefined, "only a registered session is closed");
    assert.ok(entry.beatAt < this.#cutoff(), "only a session past its time is closed");
    this.#met.expired += 1;
    this.#model = this.#model.filter((candidate) => candidate !== entry);
    this.#noLongerStaying(session);
    this.#ended.set(session, "close");
  }

  #cutoff(): number {
    return this.#clock.now() - EXPIRE_AFTER_MS;
  }

  #register(session: FakeSession): void {
    this.#met.registered += 1;
    this.#all.push(session);
    const leaving = this.#model.filter(
      (entry) =>
        entry.session.deviceId === session.deviceId || entry.session.tokenRef === session.tokenRef,
    );
    for (const { session: former } of leaving) {
      if (former.deviceId === session.deviceId) this.#met.replacedByDevice += 1;
      else this.#met.replacedByToken += 1;
      const sameListing = former.deviceId === session.deviceId && former.userId === session.userId;
      if (!sameListing) this.#noLongerStaying(former);
      this.#ended.set(former, "displace");
    }
    this.#model = this.#model.filter((entry) => !leaving.includes(entry));
    this.#model.push({ session, beatAt: session.lastHeartbeatAt });
    assert.equal(this.#store.register(session), leaving.length);
  }

  #unregister(): void {
    const session = this.#pick(this.#all);
    if (session === null) return;
    const entry = this.#model.find((candidate) => candidate.session === session);
    if (entry === undefined) this.#met.staleUnregister += 1;
    else this.#met.unregistered += 1;
    this.#model = this.#model.filter((candidate) => candidate !== entry);
    if (entry !== undefined) this.#noLongerStaying(session);
    assert.equal(this.#store.unregister(session), entry !== undefined);
  }

  #heartbeat(): void {
    const token = `vAc_${this.#integer(DEVICES)}-${this.#integer(2)}`;
    const entry = this.#model.find(({ session }) => session.tokenRef === token);
    if (entry === undefined) {
      assert.throws(() => this.#store.heartbeat(token), { code: "ERR_SESSION_NOT_FOUND" });
      return;
    }
    entry.beatAt = this.#clock.now();
    this.#store.heartbeat(token);
  }

  /** A handle that notes a heartbeat by itself, past the store. */
  #lateBeat(): void {
    const entry = this.#pick(this.#model);
    if (entry === null) return;
    this.#met.lateBeat += 1;
    entry.beatAt = this.#clock.now();
    entry.session.recordHeartbeat(this.#clock.now());
  }

  #staleTouch(): void {
    const session = this.#pick(this.#all);
    if (session === null) return;
    const entry = this.#model.find((candidate) => candidate.session === session);
    if (entry === undefined) this.#met.staleTouch += 1;
    else entry.beatAt = this.#clock.now();
    this.#store.touch(session);
  }

  /**
   * The model does not foretell which one goes first. Each is checked as it goes, in `#expired`, since closing one may
   * let another live; here, that none was left over.
   */
  #expire(limit: number): void {
    const cutoff = this.#cutoff();
    const due = this.#model.filter(({ beatAt }) => beatAt < cutoff);
    const removed = this.#store.cleanupExpired(EXPIRE_AFTER_MS, limit);
    assert.ok(removed <= limit && removed <= due.length);
    const left = this.#model.filter(({ beatAt }) => beatAt < cutoff);
    if (removed === limit && left.length > 0) this.#met.partialCleanup += 1;
    else assert.deepEqual(left, [], "nobody past its time is left");
    const saved = due.filter((entry) => this.#model.includes(entry) && entry.beatAt >= cutoff);
    this.#met.savedBySecondCheck += saved.length;
  }

  #startWalk(): Walk {
    this.#met.walks += 1;
    const userId = this.#random() < 0.5 ? `u${this.#integer(USERS)}` : null;
    const there = this.#listed(userId).map(({ session }) => session.deviceId);
    return { userId, cursor: undefined, staying: new Set(there), met: new Map(), churned: false };
  }

  #walkOn(walk: Walk): void {
    const query: SessionQuery = {
      limit: 1 + this.#integer(3),
      ...(walk.cursor === undefined ? {} : { cursor: walk.cursor }),
      ...(walk.userId === null ? {} : { userId: walk.userId }),
    };
    const page = this.#store.list(query);
    assert.equal(page.total, this.#listed(walk.userId).length);
    assert.ok(page.sessions.length <= (query.limit ?? 0));
    for (const { device_id } of page.sessions) {
      walk.met.set(device_id, (walk.met.get(device_id) ?? 0) + 1);
    }
    walk.cursor = page.next;
    if (page.next !== undefined) return;
    this.#walk = null;
    if (walk.churned) this.#met.walkOverChurn += 1;
    for (const device of walk.staying) {
      assert.equal(walk.met.get(device), 1, `${device} stayed during the walk`);
    }
  }

  #noLongerStaying(session: FakeSession): void {
    if (this.#walk === null) return;
    this.#walk.churned = true;
    if (this.#walk.userId !== null && this.#walk.userId !== session.userId) return;
    // Replaced by a connection of another user, the device stays in the listing of all.
    this.#walk.staying.delete(session.deviceId);
  }

  #listed(userId: string | null): Entry[] {
    return this.#model.filter(({ session }) => userId === null || session.userId === userId);
  }

  #compare(): void {
    assert.equal(this.#store.size, this.#model.length);
    for (const { session } of this.#model) {
      assert.equal(this.#store.findDevice(session.deviceId), session);
      assert.equal(this.#store.find(session.tokenRef), session);
    }
    for (const userId of [null, "u0", "u1"]) {
      const page = this.#store.list(userId === null ? {} : { userId });
      const expected = this.#listed(userId).map(({ session }) => session.tokenRef);
      assert.deepEqual(page.sessions.map(({ token }) => token).sort(), expected.sort());
      assert.equal(page.total, expected.length);
    }
    assert.deepEqual(new Set(this.#store.handles()), new Set(this.#model.map((e) => e.session)));
    const generations = this.#model.map(({ session }) => session.generation);
    assert.deepEqual(
      generations,
      [...generations].sort((a, b) => a - b),
      "generations rise with registration",
    );
    for (const session of this.#all) {
      const how = this.#ended.get(session);
      assert.equal(session.closed, how === "close" ? 1 : 0);
      assert.equal(session.displaced, how === "displace" ? 1 : 0);
    }
    assert.deepEqual(this.#failures, []);
    assert.equal(this.#heard, this.#thrown);
  }

  #integer(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<T>(from: readonly T[]): T | null {
    return from[this.#integer(from.length)] ?? null;
  }
}

test(`${SCHEDULES} schedules agree with the model`, () => {
  const met: Met = {
    registered: 0,
    replacedByDevice: 0,
    replacedByToken: 0,
    staleUnregister: 0,
    unregistered: 0,
    expired: 0,
    savedBySecondCheck: 0,
    reentrantRegister: 0,
    reentrantExpiry: 0,
    closeThrew: 0,
    lateBeat: 0,
    staleTouch: 0,
    partialCleanup: 0,
    walks: 0,
    walkOverChurn: 0,
  };
  const replayed = process.env["HAWSER_SEED"];
  const first = replayed === undefined ? Date.now() % 0x7fff_0000 : Number(replayed);
  const count = replayed === undefined ? SCHEDULES : 1;
  for (let seed = first; seed < first + count; seed++) {
    try {
      new Schedule(seed, met).run();
    } catch (error) {
      throw new Error(`the schedule of HAWSER_SEED=${seed} fails`, { cause: error });
    }
  }
  if (replayed !== undefined) return;
  for (const [event, times] of Object.entries(met)) {
    assert.ok(times >= 100, `${event} was met ${times} times, from HAWSER_SEED=${first} on`);
  }
});

/** A small generator of good enough numbers: the same ones for the same seed, everywhere. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
