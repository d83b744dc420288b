import { type IncomingMessage, request } from "node:http";
import { Command } from "commander";
import { type Logger, pino } from "pino";
import { loadSettings } from "../../config/index.ts";
import type { AppError } from "../../core/errors.ts";
import { HELLO } from "../demo-service.ts";
import { type DevStack, startDevStack } from "../dev-stack.ts";
import { cliError } from "../errors.ts";
import { addSettings } from "../settings-flags.ts";
import { onStopSignals } from "../stop-signals.ts";

const EXAMPLES = `
Examples:
  $ hawser dev
  $ hawser dev --once
  $ hawser dev --to http://127.0.0.1:8080

Everything listens on loopback. The credentials are made for this run and gone after it.
`;

const REQUEST_MS = 30_000;
/** Of a body that --once prints. */
const BODY_CHARS_MAX = 4_096;

/** One answer through the tunnel, as `--once` prints it. Times in milliseconds from the request's start. */
interface Answer {
  readonly url: string;
  readonly status: number;
  readonly body: string;
  readonly firstByteMs: number;
  readonly totalMs: number;
}

interface DevFlags {
  readonly once?: boolean;
  readonly to?: string;
  readonly path?: string;
  readonly json?: boolean;
}

/** `hawser dev`: the whole path on loopback, for a first try. */
export function devCommand(): Command {
  const command = new Command("dev")
    .description("Try it on this machine: relay, agent and a small HTTP service in one process")
    .option("--to <url>", "put this local service behind the tunnel in place of the demo service")
    .option("--once", "make one request through the tunnel, print the answer and the time, and end")
    .option("--path <path>", "path that --once asks for (default: /hello, or / with --to)")
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: DevFlags & Record<string, unknown>) => {
      await runDev(flags);
    });
  return addSettings(command, "dev");
}

async function runDev(flags: DevFlags & Record<string, unknown>): Promise<void> {
  const loaded = loadSettings("dev", { flags, environment: process.env });
  // What is of interest here is the curl line; the log is there for those who ask.
  const level = loaded.origins.get("logLevel") === "default" ? "warn" : loaded.values.logLevel;
  const logger: Logger = pino({ level }, pino.destination({ dest: 2, sync: true }));
  const stack = await startDevStack(loaded, flags.to ?? null, logger);
  try {
    if (flags.once === true) await requestOnce(stack, flags);
    else await serveUntilStopped(stack, flags.json === true);
  } finally {
    await stack.close();
  }
}

async function serveUntilStopped(stack: DevStack, json: boolean): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    onStopSignals(() => resolve());
  });
  process.stdout.write(json ? `${JSON.stringify(asJson(stack))}\n` : welcome(stack));
  await stopped;
}

function asJson(stack: DevStack): Record<string, unknown> {
  return {
    device_url: stack.deviceUrl,
    key: stack.key,
    service_url: stack.serviceUrl,
    internal_url: `http://127.0.0.1:${stack.relay.internalPort}`,
  };
}

function welcome(stack: DevStack): string {
  return `${stack.notes.map((note) => `${note}\n`).join("")}A device is connected; its service is ${stack.serviceUrl}. Reach it through the relay:

  curl -H 'Authorization: Bearer ${stack.key}' ${stack.deviceUrl}/

Health and metrics: http://127.0.0.1:${stack.relay.internalPort}/healthz. Press Ctrl-C to stop.
`;
}

/**
 * Makes one request through the tunnel and prints what came back.
 *
 * @throws AppError `ERR_CLI_DEV_FAILED` where it was not answered, or not as the demo service answers
 */
async function requestOnce(stack: DevStack, flags: DevFlags): Promise<void> {
  const ownService = flags.to !== undefined;
  const path = flags.path ?? (ownService ? "/" : "/hello");
  const answer = await fetchThrough(stack, path);
  if (flags.json === true) {
    const { url, status, body, firstByteMs, totalMs } = answer;
    const times = { first_byte_ms: firstByteMs, total_ms: totalMs };
    process.stdout.write(`${JSON.stringify({ url, status, body, ...times })}\n`);
  } else {
    process.stdout.write(describe(answer, stack.notes));
  }
  const isGreeting = !ownService && flags.path === undefined;
  if (answer.status >= 500 || (isGreeting && (answer.status !== 200 || answer.body !== HELLO))) {
    throw failed(`the answer has status ${answer.status} and is not the service's own`);
  }
}

function describe(answer: Answer, notes: readonly string[]): string {
  const body = answer.body.slice(0, BODY_CHARS_MAX);
  const cut = body.length < answer.body.length ? "…\n" : "";
  const lines = [
    ...notes,
    `GET ${answer.url}`,
    `status      ${answer.status}`,
    `first byte  ${answer.firstByteMs.toFixed(1)} ms`,
    `total       ${answer.totalMs.toFixed(1)} ms`,
    "",
  ];
  return `${lines.join("\n")}\n${body}${body.endsWith("\n") ? "" : "\n"}${cut}`;
}

function fetchThrough(stack: DevStack, path: string): Promise<Answer> {
  const url = `${stack.deviceUrl}${path}`;
  const started = performance.now();
  const since = (): number => performance.now() - started;
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      reject(failed(`the request through the tunnel failed: ${error.message}`));
    };
    const outgoing = request(url, {
      agent: false,
      headers: { authorization: `Bearer ${stack.key}` },
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    outgoing.on("error", fail);
    outgoing.on("response", (response: IncomingMessage) => {
      const firstByteMs = since();
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("error", fail);
      response.on("end", () => {
        resolve({ url, status: response.statusCode ?? 0, body, firstByteMs, totalMs: since() });
      });
    });
    outgoing.end();
  });
}

function failed(sentence: string): AppError {
  return cliError("ERR_CLI_DEV_FAILED", sentence);
}
