import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { silentLog } from "../../../src/agent/index.ts";
import {
  type AgentFiles,
  type AgentState,
  agentFiles,
  storeAgentState,
} from "../../../src/cli/agent-state.ts";
import { rotationTime, TokenRotation } from "../../../src/cli/token-rotation.ts";
import { mintToken } from "../../../src/core/token.ts";
import { type Asked, type Scripted, startScriptedApi } from "../../support/scripted-api.ts";

const START_MS = Date.parse("2027-01-01T00:00:00Z");
const DAY_MS = 86_400_000;

const state = (expiresAt: number | null, api = "http://127.0.0.1:9"): AgentState => ({
  version: 1,
  api,
  relay: "ws://127.0.0.1:9",
  device_id: "abcdefgh234567ab",
  issued_at: new Date(START_MS).toISOString(),
  expires_at: expiresAt === null ? null : new Date(expiresAt).toISOString(),
  ca: null,
});

/** A clock and its timers, and log lines as they come. */
class Bench {
  now = START_MS;
  readonly waits: { at: number; callback: () => void }[] = [];
  readonly lines: string[] = [];
  #told: () => void = () => {};

  readonly parts = {
    now: () => this.now,
    after: (ms: number, callback: () => void) => {
      const wait = { at: this.now + ms, callback };
      this.waits.push(wait);
      return () => {
        this.waits.splice(this.waits.indexOf(wait), 1);
      };
    },
  };

  readonly log = {
    ...silentLog,
    info: (_fields: object, line: string) => this.#tell(line),
    warn: (_fields: object, line: string) => this.#tell(line),
  };

  #tell(line: string): void {
    this.lines.push(line);
    this.#told();
  }

  /** Moves to the next timer and lets it run. */
  step(): void {
    const wait = this.waits.shift();
    assert.ok(wait !== undefined);
    this.now = wait.at;
    wait.callback();
  }

  /** Resolves with the next line. */
  line(): Promise<string> {
    return new Promise((resolve) => {
      this.#told = () => resolve(this.lines.at(-1) ?? "");
    });
  }
}

async function filesOf(t: TestContext): Promise<AgentFiles> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-rotation-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return agentFiles(folder);
}

test("rotation: a token is replaced at four fifths of its life, one without an end never", () => {
  assert.equal(rotationTime(state(null)), null);
  assert.equal(rotationTime(state(START_MS + 10 * DAY_MS)), START_MS + 8 * DAY_MS);
  assert.equal(rotationTime(state(START_MS - DAY_MS)), START_MS);
});

test("rotation: a token without an end sets no timer", async (t) => {
  const bench = new Bench();
  new TokenRotation(await filesOf(t), state(null), silentLog, bench.parts);
  assert.equal(bench.waits.length, 0);
});

test("rotation: no timer is longer than a day, and none stays when it is stopped", async (t) => {
  const bench = new Bench();
  const at = START_MS + 100 * DAY_MS;
  const rotation = new TokenRotation(await filesOf(t), state(at), silentLog, bench.parts);
  for (let day = 1; day < 80; day++) {
    assert.equal(bench.waits[0]?.at, START_MS + day * DAY_MS);
    bench.step();
  }
  rotation.stop();
  assert.equal(bench.waits.length, 0);
});

async function rotating(t: TestContext, expiresAt: number, answer: (asked: Asked) => Scripted) {
  const files = await filesOf(t);
  const api = await startScriptedApi(t, answer);
  const token = mintToken("device").text;
  const first = state(expiresAt, api.url);
  await storeAgentState(files, first, token);
  const bench = new Bench();
  new TokenRotation(files, first, bench.log, bench.parts);
  return { files, api, token, bench };
}

test("rotation: the new token is stored, and the next rotation planned by its life", async (t) => {
  const next = mintToken("device").text;
  const ends = new Date(START_MS + 2 * DAY_MS).toISOString();
  const { files, api, token, bench } = await rotating(t, START_MS + DAY_MS, () => ({
    body: { token: next, expires_at: ends },
  }));
  const told = bench.line();
  bench.step();
  assert.match(await told, /was replaced; the new one ends 2027-01-03/);
  assert.equal(api.asked[0]?.authorization, `Bearer ${token}`);
  assert.equal(await readFile(files.token, "utf8"), `${next}\n`);
  // Issued after 0.8 days, it lives for 1.2 days.
  assert.equal(bench.waits[0]?.at, START_MS + Math.round((0.8 + 1.2 * 0.8) * DAY_MS));
});

test("rotation: what fails is tried again, later each time, and the old token stays", async (t) => {
  const { files, token, bench } = await rotating(t, START_MS + DAY_MS, () => ({
    status: 503,
    body: { code: "unavailable", detail: "Not now.", request_id: "r" },
  }));
  const waits: number[] = [];
  for (let count = 0; count < 8; count++) {
    const told = bench.line();
    bench.step();
    assert.match(await told, /could not be replaced: Not now\..* Trying again in \d+ s\./);
    waits.push((bench.waits[0]?.at ?? 0) - bench.now);
  }
  assert.deepEqual(
    waits.map((ms) => ms / 60_000),
    [1, 2, 4, 8, 16, 32, 60, 60],
  );
  assert.equal(await readFile(files.token, "utf8"), `${token}\n`);
});

test("rotation: a clock that is far off does not rotate again and again", async (t) => {
  const longAgo = new Date(START_MS - DAY_MS).toISOString();
  const { bench } = await rotating(t, START_MS + DAY_MS, () => ({
    body: { token: mintToken("device").text, expires_at: longAgo },
  }));
  const told = bench.line();
  bench.step();
  await told;
  assert.equal((bench.waits[0]?.at ?? 0) - bench.now, 10 * 60_000);
});
