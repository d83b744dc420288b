import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { BodyRecord } from "../../../src/access-proxy/body-record.ts";

const folder = await mkdtemp(join(tmpdir(), "hawser-record-"));
after(() => rm(folder, { recursive: true }));

const bytes = (length: number, from = 0) =>
  Buffer.from(Array.from({ length }, (_, i) => (from + i) % 251));

async function filled(
  fileThres: number,
  fileMax: number,
  pieces: readonly number[],
): Promise<BodyRecord> {
  const record = new BodyRecord({ fileThres, fileMax, folder });
  let at = 0;
  for (const length of pieces) {
    const piece = bytes(length, at);
    const taken = record.add(piece);
    // The bytes are the caller's: it may write over them at once.
    piece.fill(0xff);
    await taken;
    at += length;
  }
  return record;
}

async function content(record: BodyRecord): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of record.read()) pieces.push(piece);
  return Buffer.concat(pieces);
}

const SHAPES: ReadonlyArray<
  readonly [what: string, thres: number, max: number, pieces: readonly number[]]
> = [
  ["nothing", 10, 10, []],
  ["all in memory, to its limit", 10, 10, [4, 6]],
  ["one byte in the file", 10, 10, [10, 1]],
  ["a piece across the border", 10, 10, [7, 9]],
  ["all of both", 10, 10, [3, 3, 3, 3, 3, 3, 2]],
  ["memory without a limit", 0, 1, [1_000, 70_000]],
  ["a file without a limit", 10, 0, [1_000, 200_000]],
];

for (const [what, thres, max, pieces] of SHAPES) {
  test(`body record: ${what} is read as it was added, twice`, async () => {
    const record = await filled(thres, max, pieces);
    const total = pieces.reduce((sum, length) => sum + length, 0);
    assert.equal(record.isComplete, true);
    assert.deepEqual(await content(record), bytes(total));
    assert.deepEqual(await content(record), bytes(total));
    await record.close();
  });
}

for (const pieces of [[21], [20, 1], [10, 11]]) {
  test(`body record: ${pieces.join(" and ")} bytes are more than 20`, async () => {
    const record = await filled(10, 10, pieces);
    assert.equal(record.isComplete, false);
    assert.deepEqual(await content(record), Buffer.alloc(0), "nothing is kept");
    await record.close();
  });
}

test("body record: the file is nobody else's to find, open or closed", async () => {
  const record = await filled(10, 100, [50]);
  assert.deepEqual(await readdir(folder), []);
  await record.close();
  await record.close();
  assert.deepEqual(await readdir(folder), []);
});

test("body record: a folder that takes no file makes it incomplete once it is settled, and says why", async () => {
  const record = new BodyRecord({ fileThres: 1, fileMax: 0, folder: join(folder, "missing") });
  void record.add(bytes(10));
  // Nobody can know yet; whoever sent it again now would send the beginning alone.
  assert.equal(record.isComplete, true);
  await record.settled();
  assert.equal(record.isComplete, false);
  assert.equal((record.fault as NodeJS.ErrnoException).code, "ENOENT");
  assert.equal(record.add(bytes(10)), null);
  await record.close();
});

test("body record: what is added after the end is not kept", async () => {
  const record = await filled(1, 0, [5]);
  await record.close();
  assert.equal(record.add(bytes(5)), null);
  assert.deepEqual(await content(record), Buffer.alloc(0));
});
