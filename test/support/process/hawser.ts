import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { mintDeviceId, mintToken } from "../../../src/core/token.ts";
import { lendPort } from "../ports.ts";
import { Changes } from "../until.ts";

const SECRET = "a-secret-of-the-tests-only-0123456789abcdef";

/** A relay in a process of its own, with one device's token and one key. */
export interface RelayProcess {
  readonly port: number;
  readonly internalPort: number;
  readonly pid: number;
  readonly deviceId: string;
  readonly token: string;
  readonly key: string;
  /** Resident memory of the process now, in bytes. */
  rss(): number;
  /** Resolves when standard output has held `text`. */
  printed(text: string): Promise<void>;
  /** Ends it by SIGTERM and removes its folder. */
  stop(): Promise<void>;
}

/** The command line as it was built: TypeScript under a Node that strips types, else JavaScript. */
export function hawserMain(): string {
  const extension = extname(fileURLToPath(import.meta.url));
  return fileURLToPath(new URL(`../../../src/cli/main${extension}`, import.meta.url));
}

/**
 * Starts `hawser relay` and waits until it is ready.
 *
 * @param descriptorsMax file descriptors that the process may have; 0 for as many as this one
 */
export async function startRelayProcess(
  args: readonly string[] = [],
  descriptorsMax = 0,
): Promise<RelayProcess> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-test-"));
  const token = mintToken("device");
  const key = mintToken("key");
  const deviceId = mintDeviceId();
  const credentials = join(folder, "credentials.json");
  await writeFile(
    credentials,
    JSON.stringify({
      version: 1,
      tokens: [{ ref: token.ref, digest: token.secretDigest, device_id: deviceId, user_id: "u" }],
      keys: [{ ref: key.ref, digest: key.secretDigest, user_id: "u" }],
    }),
    { mode: 0o600 },
  );
  const port = await lendPort();
  const internalPort = await lendPort();
  const shell =
    descriptorsMax === 0 ? [] : ["/bin/sh", "-c", `ulimit -n ${descriptorsMax}; exec "$@"`, "sh"];
  const [command = "", ...words] = [...shell, process.execPath];
  const child = spawn(
    command,
    [
      ...words,
      hawserMain(),
      "relay",
      ...["--credentials", credentials],
      ...["--data-dir", folder],
      ...["--listen-host", "127.0.0.1", "--listen-port", String(port)],
      ...["--internal-port", String(internalPort)],
      ...args,
    ],
    {
      env: { ...process.env, HAWSER_INTERNAL_SECRET: SECRET },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await whenReady(child, internalPort);
  const pid = child.pid ?? 0;
  return {
    port,
    internalPort,
    pid,
    deviceId,
    token: token.text,
    key: key.text,
    rss: () => rssOf(pid),
    printed: (text) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!output.includes(text)) return;
          child.stdout.off("data", look);
          resolve();
        };
        child.stdout.on("data", look);
        look();
      }),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, "exit");
        child.kill("SIGTERM");
        await exited;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Resolves when `/readyz` answers 200; rejects with what the process printed when it ends before. */
async function whenReady(child: ChildProcess, internalPort: number): Promise<void> {
  const changes = new Changes();
  let printed = "";
  let lines = 0;
  let isOver = false;
  const keep = (chunk: Buffer): void => {
    if (printed.length < 8_192) printed += chunk.toString();
    lines += 1;
    changes.tell();
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  child.once("close", () => {
    isOver = true;
    changes.tell();
  });
  const url = `http://127.0.0.1:${internalPort}/readyz`;
  for (;;) {
    const seen = lines;
    const ready = await fetch(url).then(
      (answer) => answer.status === 200,
      () => false,
    );
    if (ready) return;
    if (isOver) throw new Error(`the relay ended at its start:\n${printed}`);
    // It logs a line when it listens: look again at each, and at those that came meanwhile.
    await changes.until(() => isOver || lines > seen, "a relay that is ready");
  }
}

function rssOf(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0) * 1024;
}
