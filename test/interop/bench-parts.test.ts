import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { runProgram, startChild } from "../../bench/support/child.ts";
import { makeFleet } from "../../bench/support/fleet.ts";
import { medians } from "../../bench/support/stats.ts";
import { verify } from "../../bench/support/verify.ts";
import { compiledProgram } from "../support/bench-programs.ts";
import { buildGo, skipWithout } from "../support/go.ts";
import { Prng, seedFromEnvironment } from "../support/mux/prng.ts";
import { startTestRelay, temporaryFolder } from "../support/relay/start-relay.ts";
import { root } from "../support/root.ts";
import { listenForDevice, patternSha256 } from "./mux-end.ts";

/** The parts of the benches, run small, so that they cannot rot: the cheap device, the client, the Go baseline. */

const MIB = 1_024 * 1_024;
const withC = { skip: skipWithout("gcc"), timeout: 55_000 };
const withBoth = { skip: skipWithout("gcc", "go"), timeout: 55_000 };

async function startDevice(t: TestContext, port: number, tokensFile: string): Promise<void> {
  const child = startChild({
    name: "device",
    command: await compiledProgram(t, "device"),
    args: ["--relay", `127.0.0.1:${port}`, "--tokens", tokensFile],
    endBy: "stdin",
  });
  t.after(() => child.stop());
  await child.line("ready ");
}

test("the cheap device and the client agree with our relay", withC, async (t) => {
  const { relay, devices, key } = await startTestRelay(t, {}, 3);
  const tokensFile = join(await temporaryFolder(t), "tokens.txt");
  const ours = devices.filter(({ userId }) => userId === "u1");
  await writeFile(tokensFile, ours.map(({ token }) => `${token.text}\n`).join(""));
  await startDevice(t, relay.port, tokensFile);
  const deviceIds = ours.map(({ deviceId }) => deviceId);
  await verify({ port: relay.port, key: key.text }, deviceIds);
  const client = await compiledProgram(t, "client");
  for (const mode of ["down", "up"]) {
    const output = await runProgram(client, [
      ...["--relay", `127.0.0.1:${relay.port}`, "--path", `/d/${deviceIds[0]}`],
      ...["--key", key.text, "--mode", mode, "--bytes", String(8 * MIB)],
    ]);
    const result: { bytes: number; exchanges: number } = JSON.parse(output);
    assert.deepEqual([result.bytes, result.exchanges], [8 * MIB, 1]);
  }
});

test("the cheap device takes any split of messages, and keeps to its windows", withC, async (t) => {
  const seed = seedFromEnvironment(randomInt(2 ** 32));
  t.diagnostic(`HAWSER_SEED=${seed}`);
  const { port, end } = await listenForDevice(t, { shredder: new Prng(seed) });
  const tokensFile = join(await temporaryFolder(t), "tokens.txt");
  await writeFile(tokensFile, "token\n");
  await startDevice(t, port, tokensFile);
  const session = await end;
  const down = async (size: number): Promise<void> => {
    const probe = session.open({ afterHead: true });
    probe.stream.writeLatin1(`GET /down?bytes=${size} HTTP/1.1\r\nhost: d\r\n\r\n`);
    await probe.until(() => probe.received === size);
    assert.equal(probe.sha256(), patternSha256(size));
    probe.stream.end();
    assert.equal(await probe.closed, null);
  };
  const up = async (size: number): Promise<void> => {
    const probe = session.open({ keep: true });
    probe.stream.writeLatin1(`POST /up HTTP/1.1\r\nhost: d\r\ncontent-length: ${size}\r\n\r\n`);
    await probe.sendPattern(size);
    await probe.until(() => probe.text.includes("crc="));
    assert.match(probe.text, new RegExp(`bytes=${size} match=1 `));
    probe.stream.end();
    assert.equal(await probe.closed, null);
  };
  await Promise.all([1, 1_000, 400_000, 2 * MIB].flatMap((size) => [down(size), up(size)]));
  assert.equal(session.session.streamCount, 0);
});

test("the Go baseline is a right relay", withBoth, async (t) => {
  const folder = join(root, "bench", "baseline");
  const program = await buildGo({ sourceFolder: folder, moduleFolder: folder });
  const work = await temporaryFolder(t);
  mkdirSync(work, { recursive: true });
  const fleet = makeFleet(work, "fleet", 2);
  for (const tuned of [[], ["-tuned"]]) {
    const relay = startChild({
      name: "baseline",
      command: program,
      args: ["-credentials", fleet.baselineFile, ...tuned],
      endBy: "signal",
    });
    t.after(() => relay.stop());
    const port = Number((await relay.line("listening ")).split(":").at(-1));
    await startDevice(t, port, fleet.tokensFile);
    await verify({ port, key: fleet.key }, fleet.deviceIds);
  }
  assert.ok(existsSync(fleet.hawserFile));
});

test("medians are those of each figure by itself", () => {
  const samples = [
    { a: 3, b: 10 },
    { a: 1, b: 30 },
    { a: 2, b: 20 },
  ];
  assert.deepEqual(medians(samples), { a: 2, b: 20 });
  assert.deepEqual(medians(samples.slice(0, 2)), { a: 2, b: 20 });
});
