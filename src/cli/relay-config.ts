import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  inSettingNames,
  internalSecret,
  relayOptions,
  relaySettingsProblems,
  type Values,
} from "../config/index.ts";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { muxOptions } from "../mux/index.ts";
import { relayOptionsProblems } from "../relay/index.ts";

/** Adds the problems that `check` returns or throws. */
export function collect(problems: ConfigProblem[], check: () => readonly ConfigProblem[]): void {
  try {
    problems.push(...check());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
}

/** In place of a secret that is made at the start: as long as such. */
const STAND_IN = "x".repeat(43);

/**
 * The internal secret as far as a check may look: nothing is made. Where it would be made, one as long stands in for it.
 *
 * @throws ConfigError where the one that is given cannot be used
 */
export function secretForCheck(values: Values): string {
  if (values.internalSecret === null && values.internalSecretFile === null) return STAND_IN;
  return internalSecret(values, process.env).secret;
}

/** What does not go together, as config, relay and mux see it, by the names of settings. */
export async function relayProblems(values: Values): Promise<ConfigProblem[]> {
  const problems = relaySettingsProblems(values);
  let secret = STAND_IN;
  collect(problems, () => {
    secret = secretForCheck(values);
    return [];
  });
  collect(problems, () => relayOptionsProblems(relayOptions(values, secret)));
  if (values.api?.startsWith("https:") && process.env["NODE_TLS_REJECT_UNAUTHORIZED"] === "0") {
    const problem = "NODE_TLS_REJECT_UNAUTHORIZED=0 switches every check of certificates off";
    problems.push({ setting: "api", problem });
  }
  collect(problems, () => {
    muxOptions(relayOptions(values, "").mux);
    return [];
  });
  collect(problems, () => certificateProblems(values));
  const { credentials } = values;
  if (credentials !== null) {
    // Loaded here, so that a relay that asks an API server does not load what reads a file.
    const { parseCredentials } = await import("../core/credentials.ts");
    collect(problems, () => {
      parseCredentials(readFileSync(credentials, "utf8"), credentials);
      return [];
    });
  }
  return inSettingNames(problems);
}

/** What keeps the certificate and the key from being used; the listener itself tells no more than that they cannot. */
function certificateProblems({ tlsCert, tlsKey }: Values): ConfigProblem[] {
  if (tlsCert === null || tlsKey === null) return [];
  const certificate = attempt(() => new X509Certificate(pemText(tlsCert)));
  const key = attempt(() => createPrivateKey(pemText(tlsKey)));
  const problems: ConfigProblem[] = [];
  if (certificate === null) {
    problems.push({ setting: "tlsCert", problem: `${tlsCert} holds no certificate in PEM` });
  }
  if (key === null) {
    const problem = `${tlsKey} holds no private key in PEM that is not encrypted`;
    problems.push({ setting: "tlsKey", problem });
  }
  if (certificate !== null && key !== null && !certificate.checkPrivateKey(key)) {
    const problem = `${tlsKey} is not the key of the certificate in ${tlsCert}`;
    problems.push({ setting: "tlsKey", problem });
  }
  return problems;
}

/** Null where `read` throws. What OpenSSL says helps nobody. */
function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Node would take a certificate in DER as well, the listener does not. */
function pemText(path: string): string {
  return readFileSync(path, "latin1");
}
