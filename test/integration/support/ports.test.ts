import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import test, { type TestContext } from "node:test";
import { lendPort, PortLender } from "../../support/ports.ts";

/** More than two blocks have. */
const PORTS_LENT = 250;

/** A range of two blocks with two ports to lend each, of ports that nobody else is lent. */
async function smallRange(t: TestContext): Promise<{ first: number; lender: () => PortLender }> {
  let first = await lendPort();
  for (let port = first; port < first + 5; ) {
    const next = await lendPort();
    if (next !== port + 1) first = next;
    port = next;
  }
  const lender = (): PortLender => {
    const made = new PortLender({ first, end: first + 6, blockPorts: 3 });
    t.after(() => made.close());
    return made;
  };
  return { first, lender };
}

test("ports: each is lent once, block after block, outside of what systems hand out themselves", async () => {
  const ports = await Promise.all(Array.from({ length: PORTS_LENT }, lendPort));
  assert.equal(new Set(ports).size, PORTS_LENT);
  for (const port of ports) assert.ok(port > 10_000 && port < 20_000, String(port));
});

test("ports: what a block has is lent, then the next block, and then there is none", async (t) => {
  const { first, lender } = await smallRange(t);
  const one = lender();
  const lent = [await one.lend(), await one.lend(), await one.lend(), await one.lend()];
  assert.deepEqual(
    lent.sort((left, right) => left - right),
    [1, 2, 4, 5].map((offset) => first + offset),
  );
  await assert.rejects(one.lend(), /no port is left/);
  // The blocks are held until the lender ends, and not for ever.
  await assert.rejects(lender().lend(), /no port is left/);
  one.close();
  assert.ok((await lender().lend()) > first);
});

test("ports: one that is listened on is skipped, and so is a block whose first is", async (t) => {
  const { first, lender } = await smallRange(t);
  for (const offset of [0, 4]) {
    const taken = createServer().listen(first + offset, "127.0.0.1");
    t.after(() => taken.close());
    await once(taken, "listening");
  }
  assert.equal(await lender().lend(), first + 5);
});

test("ports: two processes at once are never lent the same one", async (t) => {
  const children = [lendInChild(t), lendInChild(t)];
  const [one = [], two = []] = await Promise.all(children.map(({ ports }) => ports));
  const own = await Promise.all(Array.from({ length: PORTS_LENT }, lendPort));
  assert.equal(new Set([...one, ...two, ...own]).size, 3 * PORTS_LENT);
  // A block that is held keeps no process alive.
  for (const { child } of children) {
    child.stdin?.end();
    const [code] = child.exitCode === null ? await once(child, "exit") : [child.exitCode];
    assert.equal(code, 0);
  }
});

/** A process that is lent ports, says which, and ends with its standard input. */
function lendInChild(t: TestContext): { child: ChildProcess; ports: Promise<number[]> } {
  const module = new URL("../../support/ports.ts", import.meta.url).href;
  const built = import.meta.url.endsWith(".js") ? module.replace(/\.ts$/, ".js") : module;
  const script = `import { lendPort } from ${JSON.stringify(built)};
const ports = await Promise.all(Array.from({ length: ${PORTS_LENT} }, lendPort));
process.stdout.write(JSON.stringify(ports) + "\\n");
process.stdin.resume();`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ports = lines.next().then(({ value }): number[] => JSON.parse(String(value)));
  return { child, ports };
}
