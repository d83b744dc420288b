import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { extname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

test("the agent loads no native module, from import to stop", async () => {
  // The probe lies beside this file in the sources and in any build folder alike.
  const extension = extname(import.meta.url);
  const probe = new URL(`../../support/agent/native-probe${extension}`, import.meta.url);
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(probe)]);
  assert.deepEqual(JSON.parse(stdout), []);
});
