import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const USER_AGENT = /^hawser-agent\/([0-9A-Za-z.+-]{1,32})$/;

let known = "";

/** The version in Hawser's package.json, which lies above this file, at a depth that differs between builds. */
export function hawserVersion(): string {
  if (known === "") known = readVersion();
  return known;
}

function readVersion(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, "package.json");
    if (existsSync(path)) {
      const parsed: { version: string } = JSON.parse(readFileSync(path, "utf8"));
      return parsed.version;
    }
    if (folder === dirname(folder)) throw new Error("The package.json of hawser is missing.");
  }
}

/** What our agent says of itself in its handshake. */
export function agentUserAgent(version: string): string {
  return `hawser-agent/${version}`;
}

/** The version in what a handshake says; null where no agent of ours says it. */
export function agentVersionOf(userAgent: string): string | null {
  return USER_AGENT.exec(userAgent)?.[1] ?? null;
}
