import { type Logger, pino } from "pino";
import { type Loaded, loadSettings } from "../../config/index.ts";
import { printConfig } from "../check-config.ts";
import { HELLO } from "../demo-service.ts";
import { type DevStack, startDevStack } from "../dev-stack.ts";
import { DEMO_USER, type Demo, type Fetched, setUpDemo, tour } from "../dev-tour.ts";
import { cliError } from "../errors.ts";
import { type DoneStep, Steps } from "../steps.ts";
import { onStopSignals } from "../stop-signals.ts";

/** Of a body that --once prints. */
const BODY_CHARS_MAX = 4_096;

/** Flags of `hawser dev` that are no settings. */
export interface DevFlags {
  readonly once?: boolean;
  readonly to?: string;
  readonly path?: string;
  readonly publicClient?: boolean;
  readonly checkConfig?: boolean;
  readonly json?: boolean;
}

/** What `hawser dev` does. */
export async function runDevCommand(flags: DevFlags & Record<string, unknown>): Promise<void> {
  const loaded = loadSettings("dev", { flags, environment: process.env });
  if (flags.checkConfig === true) printConfig("dev", loaded, [], flags.json === true);
  else await runDev(loaded, flags);
}

async function runDev(loaded: Loaded, flags: DevFlags): Promise<void> {
  // What is of interest here is what was done and what to do next; the log is there for those who ask. A revoked
  // device's agent complains, as --once wants it to.
  const quiet = flags.once === true ? "silent" : "error";
  const level = loaded.origins.get("logLevel") === "default" ? quiet : loaded.values.logLevel;
  const logger: Logger = pino({ level }, pino.destination({ dest: 2, sync: true }));
  const isLive = flags.once === true && flags.json !== true;
  const steps = new Steps((done) => {
    if (isLive) process.stdout.write(stepLine(done));
  });
  const options = { to: flags.to ?? null, publicClient: flags.publicClient === true };
  const stopped = new Promise<void>((resolve) => {
    onStopSignals(() => {
      // What is cut off by the stop complains, and nobody needs to read that.
      logger.level = "silent";
      resolve();
    });
  });
  const interrupted = stopped.then(() => {
    throw cliError("ERR_CLI_DEV_FAILED", "a signal came before all was done");
  });
  // It may come when nobody waits for it.
  interrupted.catch(() => undefined);
  const stack = await startDevStack(loaded, options, logger, steps);
  try {
    const demo = await Promise.race([setUpDemo(stack, logger, steps), interrupted]);
    if (flags.once === true) {
      await Promise.race([takeTour(stack, demo, flags, steps), interrupted]);
    } else {
      process.stdout.write(flags.json === true ? asJson(stack, demo) : welcome(stack, demo));
      await stopped;
    }
  } finally {
    await stack.close();
  }
}

/**
 * The whole way once: each step with its time.
 *
 * @throws AppError `ERR_CLI_DEV_FAILED` that names the step that failed
 */
async function takeTour(stack: DevStack, demo: Demo, flags: DevFlags, steps: Steps): Promise<void> {
  const path = flags.path ?? (flags.to === undefined ? "/hello" : "/");
  const expected = flags.to === undefined && flags.path === undefined ? HELLO : null;
  const fetched = await tour(stack, demo, { path, expected }, steps);
  if (flags.json === true) {
    const done = steps.done.map(({ step, ms, result }) => ({ step, ms: rounded(ms), result }));
    process.stdout.write(`${JSON.stringify({ ok: true, steps: done, fetched })}\n`);
    return;
  }
  const total = steps.done.reduce((sum, { ms }) => sum + ms, 0);
  const notes = stack.notes.map((note) => `${note}\n`).join("");
  process.stdout.write(`${notes}all of it ${total.toFixed(0)} ms\n\n${bodyOf(fetched)}`);
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function stepLine({ step, ms, result }: DoneStep): string {
  const shown = result === "" ? "" : `: ${result}`;
  return `${ms.toFixed(1).padStart(8)} ms  ${step}${shown}\n`;
}

function bodyOf([edge]: readonly Fetched[]): string {
  const whole = edge?.body ?? "";
  const body = whole.slice(0, BODY_CHARS_MAX);
  return `${body}${body.endsWith("\n") ? "" : "\n"}${body.length < whole.length ? "…\n" : ""}`;
}

function asJson(stack: DevStack, demo: Demo): string {
  const { internalPort } = stack.servers.relay;
  return `${JSON.stringify({
    base_url: stack.baseUrl,
    issuer: stack.idp.issuer,
    device_url: demo.deviceUrl,
    device_id: demo.deviceId,
    key: demo.key.text,
    service_url: stack.serviceUrl,
    internal_url: `http://127.0.0.1:${internalPort}`,
  })}\n`;
}

function welcome(stack: DevStack, demo: Demo): string {
  const { baseUrl, notes, serviceUrl, servers } = stack;
  const { deviceId, deviceUrl, key } = demo;
  return `${notes.map((note) => `${note}\n`).join("")}Sign in with a browser, as ${DEMO_USER} or anybody else; no password is asked for:

  ${baseUrl}/api/auth/login

A device of ${DEMO_USER}'s is connected; its service is ${serviceUrl}. Reach it through the relay, or through the API:

  curl -H 'Authorization: Bearer ${key.text}' ${deviceUrl}/
  curl -H 'Authorization: Bearer ${key.text}' ${baseUrl}/api/devices/${deviceId}/http/

List the devices, see what else there is:

  curl -H 'Authorization: Bearer ${key.text}' ${baseUrl}/api/devices
  curl ${baseUrl}/api/openapi.json

Health and metrics: ${baseUrl}/healthz, http://127.0.0.1:${servers.relay.internalPort}/healthz. Press Ctrl-C to stop.
`;
}
