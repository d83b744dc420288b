import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate that signs itself, for `localhost` and 127.0.0.1. */
export interface TestCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  /** PEM text: what a client trusts. */
  readonly pem: string;
}

/** Makes a certificate with the openssl command. `name` is its common name and the stem of its files. */
export function makeCertificate(folder: string, name: string): TestCertificate {
  const certFile = join(folder, `${name}.crt`);
  const keyFile = join(folder, `${name}.key`);
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  execFileSync(
    "openssl",
    ["req", "-x509", ...key, "-keyout", keyFile, "-out", certFile, "-days", "2", ...subject],
    { stdio: "pipe" },
  );
  return { certFile, keyFile, pem: readFileSync(certFile, "utf8") };
}
