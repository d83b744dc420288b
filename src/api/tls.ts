import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";

/** A certificate chain and its key, as PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** Names of the two PEM files; both or neither. */
export interface TlsFiles {
  readonly tlsCertFile: string | null;
  readonly tlsKeyFile: string | null;
}

/**
 * Reads the pair and checks that it can be used.
 *
 * @returns null where neither file is named
 * @throws ConfigError for `tlsCertFile` and `tlsKeyFile`, with every problem; it shows nothing of the files
 */
export function readTlsPair({ tlsCertFile, tlsKeyFile }: TlsFiles): TlsPair | null {
  if (tlsCertFile === null && tlsKeyFile === null) return null;
  const problems: ConfigProblem[] = [];
  const cert = read("tlsCertFile", tlsCertFile, problems);
  const key = read("tlsKeyFile", tlsKeyFile, problems);
  if (problems.length === 0) problems.push(...pairProblems({ cert, key }));
  if (problems.length > 0) throw new ConfigError(problems);
  return { cert, key };
}

function read(setting: string, path: string | null, problems: ConfigProblem[]): string {
  if (path === null) {
    problems.push({ setting, problem: "TLS needs a certificate and a key" });
    return "";
  }
  try {
    return readFileSync(path, "latin1");
  } catch {
    problems.push({ setting, problem: `${path} cannot be read` });
    return "";
  }
}

function pairProblems({ cert, key }: TlsPair): ConfigProblem[] {
  const certificate = attempt(() => new X509Certificate(cert));
  const privateKey = attempt(() => createPrivateKey(key));
  const problems: ConfigProblem[] = [];
  if (certificate === null) {
    problems.push({ setting: "tlsCertFile", problem: "holds no certificate in PEM" });
  }
  if (privateKey === null) {
    const problem = "holds no private key in PEM that is not encrypted";
    problems.push({ setting: "tlsKeyFile", problem });
  }
  if (certificate === null || privateKey === null) return problems;
  if (!certificate.checkPrivateKey(privateKey)) {
    return [{ setting: "tlsKeyFile", problem: "is not the key of the certificate" }];
  }
  if (attempt(() => createSecureContext({ cert, key })) === null) {
    return [{ setting: "tlsCertFile", problem: "cannot be used for TLS" }];
  }
  return [];
}

/** Null where `work` throws. What OpenSSL says helps nobody, and may quote the file. */
function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}
