import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { doctorData, doctorPicture } from "../../../bench/flame/doctor.ts";
import { flamePicture } from "../../../bench/flame/picture.ts";
import { SCENARIOS } from "../../../bench/flame/scenarios.ts";
import { folded, frameOf, pruned, stacksOf, type Tick } from "../../../bench/flame/stacks.ts";
import { root } from "../../support/root.ts";

const CAPTION = { title: "a < b & c", origin: "npm run flame" };
const FOLDER = join(root, "flamegraphs");
const js = (name: string): Tick => ({ name, type: "JS" });

test("flame: a frame is named by what it is, not by where it lies", () => {
  const cases: readonly (readonly [Tick, string, string])[] = [
    [
      js("flush file:///home/u/hawser/dist/src/mux/session.js:12:3"),
      "flush src/mux/session.ts",
      "hawser",
    ],
    [js("~run /home/u/hawser/dist/bench/keys.js:1:1"), "run bench/keys.ts", "hawser"],
    [js(" file:///x/dist/src/relay/edge.js:1:1"), "(anonymous) src/relay/edge.ts", "hawser"],
    [
      js("dispatch /x/node_modules/undici/lib/client.js:9:1"),
      "dispatch undici/lib/client.js",
      "package",
    ],
    [js("emit node:events:460:44"), "emit node:events", "node"],
    [js("f /secret/place/script.js:1:1"), "f script.js", "package"],
    [
      { name: "/home/u/.cache/hawser/uws-1f/uws_linux_x64_115.node", type: "SHARED_LIB" },
      "uWebSockets.js",
      "uws",
    ],
    [{ name: "/usr/lib/x86_64-linux-gnu/libc.so.6", type: "SHARED_LIB" }, "libc.so.6", "native"],
    [{ name: "__send@@GLIBC_2.2.5", type: "CPP" }, "__send", "native"],
    [
      { name: "us_internal_dispatch_ready_poll", type: "CPP" },
      "us_internal_dispatch_ready_poll",
      "uws",
    ],
  ];
  for (const [tick, name, kind] of cases) assert.deepEqual(frameOf(tick), { name, kind });
});

test("flame: samples of one stack come together, and waiting and starting are counted apart", () => {
  const a = js("a node:x:1:1");
  const stacks = stacksOf([
    [a, js("b node:x:2:1")],
    [a, js("*b node:x:2:1")],
    [a],
    [],
    [a, { name: "epoll_pwait@@GLIBC_2.6", type: "CPP" }],
    [js(" node:internal/main/run_main_module:1:1"), a],
  ]);
  assert.deepEqual([stacks.samples, stacks.waiting, stacks.starting], [4, 1, 1]);
  assert.equal(folded(stacks.tree), "a node:x 1\na node:x;b node:x 2\n(no stack) 1\n");
});

test("flame: a picture has a bound, whatever the profile, and loses no sample", () => {
  const samples: Tick[][] = [];
  for (let at = 0; at < 20_000; at++) {
    const depth = 1 + (at % 40);
    samples.push(
      Array.from({ length: depth }, (_, level) => js(`f${(at * 7) % (level * 50 + 3)} node:x`)),
    );
  }
  const stacks = stacksOf(samples);
  const picture = flamePicture(stacks, CAPTION);
  assert.ok(picture.length < 600_000, `${picture.length} characters`);
  assert.ok(picture.split("<title>").length - 1 <= 1_201);
  const total = folded(pruned(stacks.tree, 50))
    .trimEnd()
    .split("\n")
    .reduce((sum, line) => sum + Number(/ (\d+)$/.exec(line)?.[1]), 0);
  // What has no frame of its own left counts as all, which has no line.
  assert.ok(total <= 20_000 && pruned(stacks.tree, 50).count === 20_000);
});

test("flame: names of functions cannot break the picture", () => {
  const picture = flamePicture(stacksOf([[js('<script>&" node:x')]]), CAPTION);
  assert.match(picture, /^<svg [^>]*>/);
  assert.ok(picture.includes("a &lt; b &amp; c"));
  assert.ok(picture.includes("&lt;script&gt;&amp;&quot; node:x"));
  assert.ok(!picture.includes("<script"));
});

test("flame: the doctor's readings become curves and its verdict a line", () => {
  const reading = (timestamp: number, cpu: number): object => ({
    ...{ timestamp, cpu, delay: 1, handles: 0, loopUtilization: 50 },
    memory: { rss: 2 ** 20, heapTotal: 1, heapUsed: 1 },
  });
  const data = {
    processStat: Array.from({ length: 5_000 }, (_, at) => reading(at * 10, at % 2)),
    analysis: {
      issues: { delay: "performance", memory: { rss: "none" } },
      issueCategory: "unknown",
    },
  };
  const page = `<html><script type="application/json" id="clinic-data">${JSON.stringify(data)}</script>`;
  const picture = doctorPicture(doctorData(page), CAPTION);
  assert.ok(picture.includes("doctor: unknown; noticed: delay (performance)"));
  assert.ok(picture.length < 150_000, `${picture.length} characters`);
  assert.throws(() => doctorData("<html></html>"), /no data/);
});

test("flame: what is kept is small, has a text each, and names no place of a machine", () => {
  const readme = readFileSync(join(FOLDER, "README.md"), "utf8");
  let bytes = 0;
  for (const name of readdirSync(FOLDER).filter((each) => /\.(svg|gz)$/.test(each))) {
    const content = readFileSync(join(FOLDER, name));
    bytes += statSync(join(FOLDER, name)).size;
    const text = name.endsWith(".gz") ? gunzipSync(content).toString() : content.toString();
    assert.doesNotMatch(text, /\/(?:tmp|home|root|usr|work|etc|var)\//, name);
  }
  assert.ok(bytes < 3 * 2 ** 20, `${bytes} bytes`);
  for (const { id } of SCENARIOS) assert.ok(readme.includes(`](${id}.svg)`), id);
});

test("flame: the profilers are locked by digest, and no script of theirs runs", () => {
  const lock: { packages: Record<string, { integrity?: string; resolved?: string }> } = JSON.parse(
    readFileSync(join(FOLDER, "package-lock.json"), "utf8"),
  );
  for (const [name, locked] of Object.entries(lock.packages)) {
    if (name === "") continue;
    assert.equal(locked.resolved, undefined, name);
    assert.ok(locked.integrity !== undefined, name);
  }
  assert.match(readFileSync(join(FOLDER, ".npmrc"), "utf8"), /^ignore-scripts=true$/m);
});
