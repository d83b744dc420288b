import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { ConfigError } from "../../core/errors.ts";
import { makeFolder } from "../../core/folder.ts";
import { SIGNING_ALGORITHMS, type SigningAlgorithm } from "../../core/signing-algorithms.ts";
import { type Output, print } from "../print.ts";

interface NewKeyFlags {
  readonly alg: SigningAlgorithm;
  readonly folder: string;
  readonly kid?: string;
  readonly json?: boolean;
}

/** `hawser access-proxy keys`: the TA's own keys. */
export function accessProxyKeysCommand(output: Output): Command {
  const keys = new Command("keys").description("Make keys that client assertions are signed with");
  keys
    .command("new")
    .description("Put a new private key into a folder (mode 0600), and print the public one as JWK")
    .addOption(
      new Option("--alg <alg>", "what it signs with").choices(SIGNING_ALGORITHMS).default("ES256"),
    )
    .requiredOption("--folder <folder>", "folder of private keys; made with mode 0700 if missing")
    .option("--kid <kid>", "its key id, which is the file's name, too (default: its thumbprint)")
    .option("--json", "print file and public key as one line of JSON")
    .action(async (flags: NewKeyFlags) => {
      const { file, publicJwk } = await makeKey(flags);
      const text = `${JSON.stringify(publicJwk, null, 2)}\n`;
      print(output, flags.json, { file, public_jwk: publicJwk }, text);
    });
  return keys;
}

async function makeKey({ alg, folder, kid }: NewKeyFlags) {
  if (kid !== undefined && !/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/.test(kid)) {
    const problem = "wanted 1 to 128 letters, digits and . _ -, with no dot at the beginning";
    throw new ConfigError([{ setting: "--kid", problem }]);
  }
  // Loaded here, so that other commands do not load what makes keys.
  const { newSigningKey } = await import("../../access-proxy/index.ts");
  const key = await newSigningKey(alg, kid ?? null);
  const file = join(folder, `${key.kid}.json`);
  try {
    makeFolder(folder, 0o700);
    writeFileSync(file, `${JSON.stringify(key.privateJwk, null, 2)}\n`, {
      mode: 0o600,
      flag: "wx",
    });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
    const problem =
      code === "EEXIST" ? "exists already; no key is replaced" : `cannot be written (${code})`;
    throw new ConfigError([{ setting: file, problem }]);
  }
  return { file, publicJwk: key.publicJwk };
}
