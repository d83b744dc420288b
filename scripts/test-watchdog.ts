/**
 * Loaded into each test file's process by `--import`. A file whose tests are over but whose handles keep the
 * process alive fails with their names after `HANG_MS`; Node 24's runner would wait for ever.
 */

/** The longest files move gigabytes or wait out a limit of a minute. */
export const HANG_MS = 10 * 60_000;

// The runner itself loads this file too and must live as long as it takes.
if (process.env["NODE_TEST_CONTEXT"] !== undefined) {
  setTimeout(() => {
    const handles = process.getActiveResourcesInfo().join(", ");
    process.stderr.write(`Not over after ${HANG_MS / 1_000} s; still open: ${handles}\n`);
    process.exit(1);
  }, HANG_MS).unref();

  // Node 24 was seen to spin for ever in the teardown of its environment, after all tests of a file had passed and its
  // loop was empty: it waited for a request that had lost its callback. Nothing of ours is left to do then.
  process.once("beforeExit", () => {
    process.on("exit", () => process.exit());
  });
}
