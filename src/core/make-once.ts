import { randomBytes } from "node:crypto";
import { linkSync, statSync, unlinkSync, writeFileSync } from "node:fs";

/**
 * Leaves a whole text in a file of mode 0600, ours or that of whoever was faster: several processes that start at once
 * agree on one.
 *
 * @param make is called where there is no such file; a line break is added
 * @throws what the system says
 */
export function makeOnce(path: string, make: () => string): void {
  try {
    statSync(path);
    return;
  } catch {
    // Not there yet, or not visible to us: then the link below fails with the reason.
  }
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  writeFileSync(draft, `${make()}\n`, { mode: 0o600, flag: "wx" });
  try {
    linkSync(draft, path);
  } catch (error) {
    const isThere = error instanceof Error && "code" in error && error.code === "EEXIST";
    if (!isThere) throw error;
  } finally {
    unlinkSync(draft);
  }
}
