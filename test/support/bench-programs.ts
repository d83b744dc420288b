import assert from "node:assert/strict";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { runProgram } from "../../bench/support/child.ts";
import { findProgram } from "./go.ts";
import { temporaryFolder } from "./relay/start-relay.ts";
import { root } from "./root.ts";

/** Compiles a C program of the bench, with every warning an error, into a folder of this test. Needs gcc. */
export async function compiledProgram(t: TestContext, name: "device" | "client"): Promise<string> {
  const target = join(await temporaryFolder(t), name);
  const source = join(root, "bench", "support", `${name}.c`);
  const gcc = findProgram("gcc");
  assert.ok(gcc !== null, "gcc is needed for this test");
  await runProgram(gcc, ["-O1", "-Wall", "-Wextra", "-Werror", "-o", target, source]);
  return target;
}
