import { hostname } from "node:os";
import { resolve } from "node:path";
import { Command } from "commander";
import { dataFolder } from "../../config/index.ts";
import { ConfigError } from "../../core/errors.ts";
import { isDeviceId, parseToken } from "../../core/token.ts";
import {
  type AgentFiles,
  type AgentState,
  agentFiles,
  pairedAs,
  storeAgentState,
  withAgentFiles,
} from "../agent-state.ts";
import { ApiClient, record, textOf } from "../api-client.ts";
import { nonEmpty, secondsOf } from "../client-command.ts";
import { type CliErrorCode, CommandError } from "../errors.ts";
import { facts, type Output, print } from "../print.ts";

interface PairFlags {
  readonly api?: string;
  readonly code?: string;
  readonly name?: string;
  readonly model?: string;
  readonly serial?: string;
  readonly dataDir?: string;
  readonly ca?: string;
  readonly timeout?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ HAWSER_CODE=hwp_… hawser agent pair --api https://api.example.org
  $ hawser agent pair --api https://api.example.org --code - --name "press 7" < code.txt
  $ hawser agent --to http://127.0.0.1:8080

The code is one of \`hawser pair create\`, or an enrolment key. In the command line other users of the machine may see
it; HAWSER_CODE and standard input (--code -) keep it from them.
`;

const CODE_BYTES_MAX = 4_096;

/** `hawser agent pair`: makes this machine a device, and stores its token. */
export function agentPairCommand(
  output: Output = process.stdout,
  input: AsyncIterable<Buffer | string> = process.stdin,
): Command {
  return new Command("pair")
    .description("Pair this machine: exchange a code for a device token, and store it (mode 0600)")
    .option("--api <url>", "address of the API server (HAWSER_API_URL)")
    .option("--code <code>", "pairing code or enrolment key; - for standard input (HAWSER_CODE)")
    .option("--name <text>", "what the device is called (default: this machine's name)")
    .option("--model <text>", "what it is")
    .option("--serial <text>", "its serial number")
    .option("--data-dir <folder>", "where the token is kept (HAWSER_DATA_DIR)")
    .option("--ca <file>", "certificates in PEM that API server and relay are checked against")
    .option("--timeout <seconds>", "for the exchange (default: 30)")
    .option("--force", "replace the token of a device that is paired already")
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: PairFlags) => {
      const api = flags.api ?? nonEmpty(process.env["HAWSER_API_URL"]);
      if (api === null) throw new ConfigError([{ setting: "--api", problem: "is required" }]);
      const folder = flags.dataDir ?? nonEmpty(process.env["HAWSER_DATA_DIR"]);
      const files = agentFiles(dataFolder(folder, process.env));
      const ca = flags.ca === undefined ? null : resolve(flags.ca);
      const timeoutMs = secondsOf("--timeout", flags.timeout ?? "30", 600) * 1_000;
      const client = new ApiClient({ api, key: null, ca, timeoutMs });
      try {
        const code = await codeOf(flags, input);
        // All that can be wrong on this side is found before the code is used up.
        const state = await withAgentFiles(files, async () => {
          checkFree(files, flags.force === true);
          return pair(client, files, ca, code, flags);
        });
        const { device_id, relay, expires_at } = state;
        const shown = { device_id, relay, expires_at, token_file: files.token };
        const text = facts([
          ["device id", device_id],
          ["token file", files.token],
          ["ends", expires_at ?? "never"],
          ["dials", relay],
        ]);
        const next = flags.dataDir === undefined ? "" : ` --data-dir ${flags.dataDir}`;
        const line = `\nNow run:\n  hawser agent${next} --to http://127.0.0.1:8080\n`;
        print(output, flags.json, shown, text + line);
      } finally {
        await client.close();
      }
    });
}

function checkFree(files: AgentFiles, force: boolean): void {
  const present = pairedAs(files);
  if (present === null || force) return;
  const problem = `has ${present} already; --force replaces it, --data-dir names another folder`;
  throw new ConfigError([{ setting: files.folder, problem }]);
}

async function pair(
  client: ApiClient,
  files: AgentFiles,
  ca: string | null,
  code: string,
  { name = hostname().slice(0, 100), model, serial }: PairFlags,
): Promise<AgentState> {
  const issued = record(
    await client.post("/api/pairing/exchange", {
      code,
      device: {
        name,
        ...(model === undefined ? {} : { model }),
        ...(serial === undefined ? {} : { serial }),
      },
    }),
  );
  const token = textOf(issued, "token");
  const device_id = textOf(issued, "device_id");
  const parsed = parseToken(token);
  if (!parsed.ok || parsed.kind !== "device" || !isDeviceId(device_id)) {
    const odd: CliErrorCode = "ERR_CLI_API_ANSWER";
    throw new CommandError(odd, "The server issued no device token.", "");
  }
  const expires = issued["expires_at"];
  const state: AgentState = {
    version: 1,
    api: client.api,
    relay: textOf(issued, "tunnel_url"),
    device_id,
    issued_at: new Date().toISOString(),
    expires_at: typeof expires === "string" ? new Date(expires).toISOString() : null,
    ca,
  };
  await storeAgentState(files, state, token);
  return state;
}

async function codeOf(flags: PairFlags, input: AsyncIterable<Buffer | string>): Promise<string> {
  const given = flags.code ?? nonEmpty(process.env["HAWSER_CODE"]);
  const code = given === "-" ? await readCode(input) : given;
  if (code === null) {
    const problem = "is required, unless HAWSER_CODE holds the code; --code - reads standard input";
    throw new ConfigError([{ setting: "--code", problem }]);
  }
  const text = code.trim();
  // Each attempt with a wrong code counts against this address: what cannot be one is not sent.
  if (!/^hw[pe]_[\x21-\x7e]{20,80}$/i.test(text)) {
    const problem = "is neither a pairing code (hwp_…) nor an enrolment key (hwe_…)";
    throw new ConfigError([{ setting: "--code", problem }]);
  }
  return text;
}

async function readCode(input: AsyncIterable<Buffer | string>): Promise<string> {
  let text = "";
  for await (const chunk of input) {
    text += chunk.toString();
    if (text.length > CODE_BYTES_MAX) break;
  }
  return text;
}
