import type { TestContext } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { findProgram, skipWithout } from "../go.ts";

/** The reason to skip a test that needs Chromium, or false: it is there, or this is CI, which must have it. */
export function skipWithoutChromium(): string | false {
  return skipWithout("chromium");
}

/** Debian's Chromium, without a window. Ends with the test. */
export async function startChromium(t: TestContext): Promise<Browser> {
  const executablePath = findProgram("chromium") ?? "";
  const browser = await chromium.launch({
    executablePath,
    // As root, and without the shared memory that small containers lack.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  t.after(() => browser.close());
  return browser;
}

/** What a page complained of: errors of scripts and refusals by its own policy. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  return complaints;
}
