import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import {
  callersSource,
  destinationsSource,
  idpsSource,
  keysSource,
  type Source,
} from "../access-proxy/index.ts";
import {
  accessProxySettingsProblems,
  edgeAccess,
  internalListenerProblems,
  type Values,
} from "../config/index.ts";
import type { ConfigProblem } from "../core/errors.ts";
import { collect, secretForCheck } from "./relay-config.ts";

/** Everything that keeps an access proxy from running with these settings, what its files hold included. Makes nothing. */
export function accessProxyProblems(values: Values): ConfigProblem[] {
  const problems = accessProxySettingsProblems(values);
  collect(problems, () => internalListenerProblems(values, secretForCheck(values)));
  let hasEdge = false;
  collect(problems, () => {
    hasEdge = edgeAccess(values) !== null;
    return [];
  });
  collect(problems, () => certificateProblems(values.accessProxyCa));
  for (const source of sourcesOf(values, hasEdge)) {
    collect(problems, () => {
      source.read();
      return [];
    });
  }
  return problems;
}

/** The files and folders that are named. */
function sourcesOf(values: Values, hasEdge: boolean): Source<unknown>[] {
  const { signingKeys, idps, destinations, callers, sigAlg } = values;
  const sources: Source<unknown>[] = [];
  if (signingKeys !== null) {
    sources.push(keysSource(signingKeys, { sigAlg, sigKid: values.sigKid ?? "" }));
  }
  if (idps !== null) sources.push(idpsSource(idps));
  if (destinations !== null) sources.push(destinationsSource(destinations, { hasEdge }));
  if (callers !== null) sources.push(callersSource(callers));
  return sources;
}

function certificateProblems(path: string | null): ConfigProblem[] {
  if (path === null) return [];
  const problem = `${path} holds no certificates in PEM`;
  try {
    const text = readFileSync(path, "utf8");
    // What it cannot read, OpenSSL takes for the end of the file.
    if (!text.includes("-----BEGIN CERTIFICATE-----")) throw new Error(problem);
    createSecureContext({ ca: text });
    return [];
  } catch {
    return [{ setting: "accessProxyCa", problem }];
  }
}
