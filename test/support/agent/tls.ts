import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A fresh self-signed certificate, PEM. */
export interface TestCertificate {
  readonly key: string;
  readonly cert: string;
}

/**
 * Makes a certificate for 127.0.0.1 and localhost that is good for a day: a stored one would expire.
 *
 * @returns null where there is no `openssl`
 */
export function makeCertificate(): TestCertificate | null {
  const folder = mkdtempSync(join(tmpdir(), "hawser-tls-"));
  try {
    const keyFile = join(folder, "key.pem");
    const certFile = join(folder, "cert.pem");
    const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1";
    const made = spawnSync(
      "openssl",
      [
        ...request.split(" "),
        ...["-keyout", keyFile, "-out", certFile, "-subj", "/CN=localhost"],
        ...["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
      ],
      { stdio: "ignore" },
    );
    if (made.error !== undefined || made.status !== 0) return null;
    return { key: readFileSync(keyFile, "utf8"), cert: readFileSync(certFile, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
