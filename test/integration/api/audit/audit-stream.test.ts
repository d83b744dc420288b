import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import test, { type TestContext } from "node:test";
import { pino } from "pino";
import { type AuditStreamOptions, openAuditStream } from "../../../../src/api/audit/index.ts";
import { ConfigError } from "../../../../src/core/errors.ts";
import { ManualTimers } from "../../../support/api/manual-timers.ts";
import { until } from "../../../support/until.ts";

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-audit-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function opened(t: TestContext, path: string, over: Partial<AuditStreamOptions> = {}) {
  const logged: Record<string, unknown>[] = [];
  const logger = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
  const signals = new EventEmitter();
  const timers = new ManualTimers();
  const stream = await openAuditStream(path, { logger, signals, timers, ...over });
  assert.ok(stream !== null);
  t.after(() => stream.close());
  return { stream, logged, signals, timers };
}

const text = (path: string): Promise<string> => readFile(path, "utf8");

test("audit stream: lines are added to the file in order, and nobody else may read it", async (t) => {
  const path = join(await folderOf(t), "audit.jsonl");
  const { stream } = await opened(t, path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const lines = Array.from({ length: 1_000 }, (_, count) => `${count}\n`);
  for (const line of lines) stream.write(line);
  await stream.close();
  assert.equal(await text(path), lines.join(""));
  const { stream: again } = await opened(t, path);
  again.write("more\n");
  await again.close();
  assert.equal(await text(path), `${lines.join("")}more\n`);
});

test("audit stream: SIGHUP opens the file anew, which a rotation has moved away", async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, "audit.jsonl");
  const { stream, signals } = await opened(t, path);
  stream.write("before\n");
  await until(() => true, "a turn");
  await rename(path, `${path}.1`);
  stream.write("between\n");
  signals.emit("SIGHUP");
  stream.write("after\n");
  await stream.close();
  const [old, current] = [await text(`${path}.1`), await text(path)];
  assert.equal(old + current, "before\nbetween\nafter\n");
  assert.match(current, /after\n$/);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal(signals.listenerCount("SIGHUP"), 0);
});

test("audit stream: a file that cannot be opened at the start is a problem of the setting", async (t) => {
  const folder = await folderOf(t);
  const logger = pino({ level: "silent" });
  await assert.rejects(openAuditStream(folder, { logger, setting: "auditFile" }), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.problems[0]?.setting, "auditFile");
    return true;
  });
  assert.equal(process.listenerCount("SIGHUP"), 0);
});

test("audit stream: one that fails is tried again, loses nothing that fits, and counts the rest", async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, "logs", "audit.jsonl");
  await mkdir(join(folder, "logs"));
  const { stream, logged, signals, timers } = await opened(t, path, { waitingBytesMax: 20 });
  await rm(join(folder, "logs"), { recursive: true });
  await writeFile(join(folder, "logs"), "a file where the folder was");
  signals.emit("SIGHUP");
  await timers.set(1_000);
  assert.equal(logged.length, 1);
  assert.deepEqual([logged[0]?.["level"], logged[0]?.["code"]], [50, "ENOTDIR"]);
  stream.write("0123456789\n");
  stream.write("012345678\n");
  assert.equal(logged.length, 2, "the second does not fit any more");
  stream.write("x\n");
  timers.fire(1_000);
  await timers.set(1_000);
  assert.equal(logged.length, 2, "the same failure is told once");
  await rm(join(folder, "logs"));
  await mkdir(join(folder, "logs"));
  timers.fire(1_000);
  await until(() => logged.length === 3, "its return");
  assert.equal(logged[2]?.["dropped"], 1);
  stream.write("last\n");
  await stream.close();
  assert.equal(await text(path), "0123456789\nx\nlast\n");
});

test("audit stream: one that fails for good does not hold up the end", async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, "logs", "audit.jsonl");
  await mkdir(join(folder, "logs"));
  const { stream, signals } = await opened(t, path);
  await rm(join(folder, "logs"), { recursive: true });
  signals.emit("SIGHUP");
  stream.write("lost\n");
  await stream.close();
  stream.write("ignored\n");
  await stream.close();
});

test("audit stream: a pipe whose reader leaves, or does not read, is no trouble", async () => {
  const logged: Record<string, unknown>[] = [];
  const logger = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
  const taken: string[] = [];
  let go: () => void = () => {};
  const target = new Writable({
    highWaterMark: 1,
    write(chunk, _encoding, callback) {
      taken.push(String(chunk));
      go = callback;
    },
  });
  const stream = await openAuditStream(target, { logger, waitingBytesMax: 8 });
  assert.ok(stream !== null);
  stream.write("1234\n");
  stream.write("56\n");
  stream.write("7\n");
  assert.equal(logged.length, 1);
  assert.match(String(logged[0]?.["msg"]), /nobody takes them/);
  go();
  go();
  await until(() => target.writableLength === 0, "the reader");
  stream.write("8\n");
  assert.equal(logged[1]?.["dropped"], 1);
  assert.deepEqual(taken, ["1234\n", "56\n", "8\n"]);
  target.destroy(new Error("EPIPE"));
  await until(() => target.closed, "its end");
  stream.write("9\n");
  await stream.close();
});

test("audit stream: none is none", async () => {
  assert.equal(await openAuditStream(null, { logger: pino({ level: "silent" }) }), null);
});
