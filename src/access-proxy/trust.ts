import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";

/**
 * What certificates of others are checked against: those of Node's list and those given. Made once, since reading the list
 * takes milliseconds.
 *
 * @param ca in PEM
 * @throws the error of OpenSSL where it is none
 */
export function trusting(ca: string): SecureContext {
  return createSecureContext({ ca: [...rootCertificates, ca] });
}
