import { fileURLToPath } from "node:url";
import { lendPort } from "../../test/support/ports.ts";
import { type Child, startChild } from "./child.ts";
import type { Measured } from "./load.ts";
import { accepting } from "./relays.ts";

/** What the direct server answers to everything. */
export interface DirectAnswer {
  /** `200 OK` */
  readonly status: string;
  /** In order, without Content-Length and Date, which uWebSockets.js writes. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
}

/** The direct server, running. */
export interface DirectServer extends Measured {
  readonly child: Child;
}

/** Takes an answer apart as it is on the wire: a complete head and a body. @throws Error when it is neither */
export function directAnswer(answer: string): DirectAnswer {
  const end = answer.indexOf("\r\n\r\n");
  const [statusLine = "", ...lines] = answer.slice(0, Math.max(end, 0)).split("\r\n");
  const status = /^HTTP\/1\.1 (\d{3} .*)$/.exec(statusLine)?.[1];
  if (status === undefined) throw new Error(`no answer to give: ${answer.slice(0, 100)}`);
  const fields = lines
    .map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
    })
    .filter(([name]) => !/^(?:content-length|date)$/i.test(name));
  return { status, fields, body: answer.slice(end + 4) };
}

/** Starts uWebSockets.js as a process of its own that gives one answer to every request. */
export async function startDirectServer(
  answer: DirectAnswer,
  cores: string | null,
): Promise<DirectServer> {
  const port = await lendPort();
  const program = fileURLToPath(new URL("direct.js", import.meta.url));
  const child = startChild({
    name: "direct",
    command: process.execPath,
    args: [program, String(port), JSON.stringify(answer)],
    endBy: "signal",
    cores,
  });
  await accepting(child, "direct", port);
  return { id: "direct", pid: child.pid, port, child };
}
