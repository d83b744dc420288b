#!/usr/bin/env node
import { run } from "./run.ts";

/** How long what a command left open may keep the process alive after its end. */
const LINGER_MS = 2_000;

process.exitCode = await run(process.argv.slice(2));
setTimeout(() => process.exit(), LINGER_MS).unref();
// All is said and done by then: the runtime's own teardown, which was seen to wait for ever, has nothing to add.
process.on("exit", () => process.exit());
