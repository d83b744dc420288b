import { Command } from "commander";
import type { ListedToken, SqliteTokens } from "../../access-proxy/index.ts";
import { dataFolder, loadSettings } from "../../config/index.ts";
import { ConfigError } from "../../core/errors.ts";
import { nothingFound } from "../admin-command.ts";
import { type Output, print, table } from "../print.ts";

interface TokenFlags {
  readonly config?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
  readonly caller?: string;
  readonly tag: string;
}

interface PutFlags extends TokenFlags {
  readonly issuer: string;
  readonly expiresIn?: string;
  readonly expiresAt?: string;
  readonly scope?: string;
}

interface ListFlags extends Omit<TokenFlags, "tag"> {
  readonly limit: string;
}

const INPUT_BYTES_MAX = 65_536;
const LISTED_MAX = 1_000;

/** `hawser access-proxy token`: access tokens that the proxy finds by their tags, whether it runs or not. */
export function accessProxyTokenCommand(output: Output): Command {
  const token = new Command("token").description("Store, list and remove access tokens of users");
  addStoreFlags(token.command("put"))
    .description("Store a token, read from standard input, in the place of one with the same tag")
    .requiredOption("--tag <tag>", "at_tag that the backend goes by")
    .requiredOption("--issuer <id>", "ID provider that issued it")
    .option("--expires-in <seconds>", "it expires after so many seconds")
    .option("--expires-at <time>", "it expires at this RFC 3339 time")
    .option("--scope <words>", "scopes that it was issued with, for people")
    .option("--caller <name>", "caller that may use it, where there is a file of callers")
    .action(async (flags: PutFlags) => {
      const stored = await put(flags);
      print(output, flags.json, stored, `stored: ${stored.tag}, expires ${stored.expires_at}\n`);
    });
  addStoreFlags(token.command("list"))
    .description("List what is stored; tokens are not shown")
    .option("--caller <name>", "of this caller alone")
    .option("--limit <count>", `so many at the most, up to ${LISTED_MAX}`, "100")
    .action(async (flags: ListFlags) => {
      const tokens = (await list(flags)).map(shown);
      const rows = tokens.map((each) => Object.values(each));
      const head = ["CALLER", "TAG", "ISSUER", "SCOPE", "EXPIRES"];
      print(output, flags.json, { tokens }, table(head, rows));
    });
  addStoreFlags(token.command("remove"))
    .description("Remove a token")
    .requiredOption("--tag <tag>", "its tag")
    .option("--caller <name>", "caller that may use it, where there is a file of callers")
    .action(async (flags: TokenFlags) => {
      const { caller = "", tag } = flags;
      const isRemoved = await withTokens(flags, (tokens) => tokens.removeToken(caller, tag));
      if (!isRemoved) throw nothingFound("token with this tag");
      print(output, flags.json, { caller, tag }, `removed: ${tag}\n`);
    });
  return token;
}

function addStoreFlags(command: Command): Command {
  return command
    .option("--config <file>", "JSON file with the settings of the access proxy (HAWSER_CONFIG)")
    .option("--data-dir <folder>", "its data folder (HAWSER_DATA_DIR)")
    .option("--json", "print JSON");
}

/** Runs `work` on the tokens of the data folder; no proxy need run. */
async function withTokens<T>(
  { config, dataDir }: Pick<TokenFlags, "config" | "dataDir">,
  work: (tokens: SqliteTokens) => Promise<T>,
): Promise<T> {
  const sources = { flags: { config, dataDir }, environment: process.env };
  const { values } = loadSettings("access-proxy", sources);
  // Loaded here, so that other commands do not load a database.
  const { openTokenStore } = await import("../../access-proxy/index.ts");
  const tokens = await openTokenStore(dataFolder(values.dataDir, process.env), {
    tokensMax: values.accessTokensMax,
  });
  try {
    return await work(tokens);
  } finally {
    tokens.close();
  }
}

async function put(flags: PutFlags) {
  const { caller = "", tag, issuer, scope } = flags;
  const expiresAt = expiryOf(flags);
  const token = (await readInput()).trim();
  if (!/^[!-~]+$/.test(token)) {
    const problem = "wanted the token on one line, of visible ASCII characters";
    throw new ConfigError([{ setting: "standard input", problem }]);
  }
  const words = scope?.split(/\s+/).filter((word) => word !== "") ?? [];
  const record = { tag, token, issuer, expiresAt, scope: words };
  await withTokens(flags, (tokens) => tokens.putToken(caller, record));
  return { caller, tag, issuer, scope: words, expires_at: new Date(expiresAt).toISOString() };
}

function expiryOf({ expiresIn, expiresAt }: PutFlags): number {
  const refuse = (setting: string, problem: string): never => {
    throw new ConfigError([{ setting, problem }]);
  };
  if ((expiresIn === undefined) === (expiresAt === undefined)) {
    return refuse("--expires-in", "wanted this, or --expires-at");
  }
  if (expiresIn !== undefined) {
    if (!/^[1-9][0-9]{0,9}$/.test(expiresIn)) {
      return refuse("--expires-in", "wanted a number of seconds");
    }
    return Date.now() + Number(expiresIn) * 1_000;
  }
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/.test(
    expiresAt ?? "",
  );
  const time = Date.parse(expiresAt ?? "");
  if (!isTime || Number.isNaN(time)) {
    return refuse("--expires-at", "wanted an RFC 3339 time, such as 2027-01-31T00:00:00Z");
  }
  return time > Date.now() ? time : refuse("--expires-at", "is in the past");
}

async function readInput(): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of process.stdin) {
    pieces.push(piece as Buffer);
    bytes += (piece as Buffer).length;
    if (bytes > INPUT_BYTES_MAX) {
      throw new ConfigError([{ setting: "standard input", problem: "is over 64 KiB" }]);
    }
  }
  return Buffer.concat(pieces).toString("utf8");
}

async function list(flags: ListFlags): Promise<ListedToken[]> {
  const limit = Number(flags.limit);
  if (!/^[1-9][0-9]{0,3}$/.test(flags.limit) || limit > LISTED_MAX) {
    const problem = `wanted a whole number, 1 to ${LISTED_MAX}`;
    throw new ConfigError([{ setting: "--limit", problem }]);
  }
  const { caller } = flags;
  // All tags of one caller are those behind its name and the empty tag, which none has.
  const after = caller === undefined ? null : { callerScope: caller, tag: "" };
  const tokens = await withTokens(flags, (store) => store.listTokens(after, limit));
  return tokens.filter(({ callerScope }) => caller === undefined || callerScope === caller);
}

function shown({ callerScope, tag, issuer, scope, expiresAt }: ListedToken) {
  return {
    caller: callerScope,
    tag,
    issuer,
    scope,
    expires_at: new Date(Math.min(expiresAt, 8_640_000_000_000_000)).toISOString(),
  };
}
