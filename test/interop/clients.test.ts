import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { patternBytes } from "../../bench/support/pattern.ts";
import { skipWithout } from "../support/go.ts";
import { temporaryFolder } from "../support/relay/start-relay.ts";
import { patternSha256 } from "./mux-end.ts";
import { type RelayWithDevice, relayWithDevice } from "./relay-end.ts";

/** curl and wget as clients of the relay, with a device in Go behind it. No SDK is needed, and this proves it. */

const MIB = 1_024 * 1_024;
const CURL_PARTIAL_FILE = 18;
const CURL_RECEIVE_ERROR = 56;

interface Finished {
  readonly code: number;
  readonly output: string;
  readonly complaint: string;
}

interface Fixture extends RelayWithDevice {
  readonly folder: string;
  curl(args: readonly string[]): Promise<Finished>;
  wget(args: readonly string[]): Promise<Finished>;
}

function forClient(
  client: "curl" | "wget",
  name: string,
  body: (fixture: Fixture) => Promise<void>,
): void {
  const options = { skip: skipWithout("go", client), timeout: 55_000 };
  test(`${client}: ${name}`, options, async (t) => body(await fixture(t)));
}

async function fixture(t: TestContext): Promise<Fixture> {
  const device = await relayWithDevice(t, { version: "yamux-newest" });
  const header = `authorization: ${device.authorization}`;
  return {
    ...device,
    folder: await temporaryFolder(t),
    curl: (args) => run("curl", ["-sS", "--max-time", "30", "-H", header, ...args]),
    wget: (args) =>
      run("wget", ["-nv", "--tries=1", "--timeout=30", `--header=${header}`, ...args]),
  };
}

function run(command: string, args: readonly string[]): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(command, args, { encoding: "latin1" }, (error, output, complaint) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, output, complaint });
    });
  });
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(file)) hash.update(piece);
  return hash.digest("hex");
}

forClient("curl", "a page, its head and the status", async ({ curl, base }) => {
  assert.equal((await curl([`${base}/hello`])).output, "Hello, world!\n");
  const head = await curl(["-I", `${base}/down?bytes=123`]);
  assert.match(head.output, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(head.output, /\r\ncontent-length: 123\r\n/i);
  const missing = await curl(["-w", "%{http_code}", "-o", "/dev/null", `${base}/absent`]);
  assert.equal(missing.output, "404");
});

forClient("curl", "64 MiB down, with a length and chunked", async ({ curl, base, folder }) => {
  for (const path of ["down", "chunked"]) {
    const file = join(folder, path);
    const { code, complaint } = await curl(["-o", file, `${base}/${path}?bytes=${64 * MIB}`]);
    assert.equal(code, 0, complaint);
    assert.equal(await sha256Of(file), patternSha256(64 * MIB));
  }
});

forClient(
  "curl",
  "64 MiB up: PUT with Expect, POST chunked; and echoed",
  async ({ curl, base, folder }) => {
    const file = join(folder, "body");
    const size = 64 * MIB;
    await writeFile(file, patternBytes(size));
    const expected = { bytes: size, sha256: patternSha256(size) };
    for (const args of [
      ["-T", file],
      ["-T", file, "-H", "expect: 100-continue"],
      ["-X", "POST", "-T", file, "-H", "transfer-encoding: chunked"],
    ]) {
      const answer = await curl([...args, `${base}/upload`]);
      assert.deepEqual(JSON.parse(answer.output), expected, args.join(" "));
    }
    const echoed = join(folder, "echoed");
    const echo = await curl(["-T", file, "-o", echoed, `${base}/echo`]);
    assert.equal(echo.code, 0, echo.complaint);
    assert.equal(await sha256Of(echoed), expected.sha256);
  },
);

forClient("curl", "several pages over one connection", async ({ curl, base }) => {
  const urls = [
    `${base}/hello`,
    `${base}/chunked?bytes=100000`,
    `${base}/status?code=204`,
    `${base}/hello`,
  ];
  const outputs = urls.flatMap((url) => ["-o", "/dev/null", url]);
  const { output } = await curl(["-w", "%{http_code} %{num_connects}\n", ...outputs]);
  assert.equal(output, "200 1\n200 0\n204 0\n200 0\n");
});

forClient("curl", "40 transfers in parallel", async ({ curl, base }) => {
  const { code, output, complaint } = await curl([
    ...[
      "--parallel",
      "--parallel-max",
      "40",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code} %{size_download}\n",
    ],
    `${base}/down?bytes=200000&n=[1-40]`,
  ]);
  assert.equal(code, 0, complaint);
  assert.equal(output, "200 200000\n".repeat(40));
});

forClient(
  "curl",
  "an answer that breaks off is an error",
  async ({ curl, base, dialAgain, reachable }) => {
    for (const how of ["abort", "drop"]) {
      const known = await curl(["-o", "/dev/null", `${base}/${how}?bytes=${4 * MIB}`]);
      assert.ok([CURL_PARTIAL_FILE, CURL_RECEIVE_ERROR].includes(known.code), known.complaint);
      if (how === "drop") await dialAgain();
      await reachable();
      const open = await curl(["-o", "/dev/null", `${base}/${how}?bytes=${4 * MIB}&chunked=1`]);
      assert.ok([CURL_PARTIAL_FILE, CURL_RECEIVE_ERROR].includes(open.code), open.complaint);
      if (how === "drop") await dialAgain();
      await reachable();
    }
  },
);

forClient("curl", "a refused upload shows its answer", async ({ curl, base, folder }) => {
  const file = join(folder, "body");
  await writeFile(file, patternBytes(10 * MIB));
  const { output } = await curl(["-T", file, "-w", "%{http_code}", `${base}/refuse`]);
  assert.match(output, /^too large\n413$/);
});

forClient("curl", "no key, a wrong key, an unknown device", async ({ base, curl, relay }) => {
  const bare = await run("curl", ["-sS", "-w", "%{http_code}", "-o", "/dev/null", `${base}/hello`]);
  assert.equal(bare.output, "401");
  const unknown = `http://127.0.0.1:${relay.port}/d/aaaaaaaaaaaaaaaa/hello`;
  const answer = await curl([unknown]);
  assert.equal(JSON.parse(answer.output).stage, "no_device");
});

forClient("wget", "64 MiB down, with a length and chunked", async ({ wget, base, folder }) => {
  for (const path of ["down", "chunked"]) {
    const file = join(folder, path);
    const { code, complaint } = await wget(["-O", file, `${base}/${path}?bytes=${64 * MIB}`]);
    assert.equal(code, 0, complaint);
    assert.equal(await sha256Of(file), patternSha256(64 * MIB));
  }
});

forClient("wget", "a file posted, and several pages", async ({ wget, base, folder }) => {
  const file = join(folder, "body");
  await writeFile(file, patternBytes(5 * MIB));
  const { output } = await wget(["-O", "-", `--post-file=${file}`, `${base}/upload`]);
  assert.deepEqual(JSON.parse(output), { bytes: 5 * MIB, sha256: patternSha256(5 * MIB) });
  const pages = await wget(["-O", "-", `${base}/hello`, `${base}/hello`, `${base}/hello`]);
  assert.equal(pages.output, "Hello, world!\n".repeat(3));
});

forClient("wget", "an answer that breaks off is an error", async ({ wget, base, folder }) => {
  const file = join(folder, "partial");
  const { code } = await wget(["-O", file, `${base}/abort?bytes=${4 * MIB}`]);
  assert.notEqual(code, 0);
  assert.ok((await stat(file)).size < 4 * MIB);
});
