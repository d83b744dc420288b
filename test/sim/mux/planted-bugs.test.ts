import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { PLANTED_BUGS, type PlantedBug, plant } from "./planted-bugs.ts";

/** Schedules in which each bug must show itself; the simulation proper runs four times as many. */
const SCHEDULES = 500;
/** A bug may also make the multiplexer loop for ever. */
const CHILD_TIMEOUT_MS = 30_000;

/** `.ts` from source, `.js` when compiled. */
const ending = extname(fileURLToPath(import.meta.url));
const sources = fileURLToPath(new URL("../../../src/", import.meta.url));
const runner = fileURLToPath(new URL(`planted-run${ending}`, import.meta.url));
let folder = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "hawser-planted-"));
  await writeFile(join(folder, "package.json"), '{"type":"module"}\n');
});

after(() => rm(folder, { recursive: true, force: true }));

/** A copy of the multiplexer, with `bug` in it when one is given. Returns the URL of its face. */
async function copyWith(bug: PlantedBug | null, name: string): Promise<string> {
  const target = join(folder, name);
  for (const part of ["core", "mux"]) {
    await cp(join(sources, part), join(target, part), { recursive: true });
  }
  if (bug !== null) {
    const file = join(target, "mux", `${bug.file}${ending}`);
    await writeFile(file, plant(bug, await readFile(file, "utf8")));
  }
  return pathToFileURL(join(target, "mux", `index${ending}`)).href;
}

/** What a run of the schedules found. A run that does not end has found something too. */
async function run(url: string): Promise<{ failure: string | null; ran: number }> {
  const child = spawn(process.execPath, [runner, url, "1", String(SCHEDULES)], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: CHILD_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let out = "";
  let problems = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    problems += chunk.toString();
  });
  const signal = await new Promise<NodeJS.Signals | null>((resolve) => {
    child.on("close", (_code, killedBy) => resolve(killedBy));
  });
  if (signal !== null) return { failure: `no end after ${CHILD_TIMEOUT_MS} ms`, ran: 0 };
  assert.ok(out.startsWith("{"), `the run reports: ${problems}`);
  return JSON.parse(out) as { failure: string | null; ran: number };
}

test("at least 15 bugs are listed, each once", () => {
  assert.ok(PLANTED_BUGS.length >= 15);
  assert.equal(new Set(PLANTED_BUGS.map((bug) => bug.name)).size, PLANTED_BUGS.length);
});

test("the copy without a bug passes", async () => {
  const { failure, ran } = await run(await copyWith(null, "clean"));
  assert.equal(failure, null);
  assert.equal(ran, SCHEDULES);
});

for (const [index, bug] of PLANTED_BUGS.entries()) {
  test(`the simulation finds: ${bug.name}`, async (t) => {
    const { failure, ran } = await run(await copyWith(bug, `bug-${index}`));
    assert.ok(failure !== null, `${SCHEDULES} schedules pass with this bug`);
    t.diagnostic(`schedule ${ran}: ${failure}`);
  });
}
