import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { lockFile, replaceFile } from "../core/credentials-edit.ts";
import { ConfigError } from "../core/errors.ts";
import { makeFolder } from "../core/folder.ts";
import { isDeviceId, parseToken } from "../core/token.ts";

const shape = z.looseObject({
  version: z.literal(1),
  /** The API server that the device was paired at, for rotation. */
  api: z.string(),
  /** What the agent dials. */
  relay: z.string(),
  device_id: z.string().refine(isDeviceId),
  /** When the token was issued, and when it ends; null for never. */
  issued_at: z.iso.datetime(),
  expires_at: z.iso.datetime().nullable(),
  /** File of certificates that API server and relay are checked against. */
  ca: z.string().nullable(),
});

/** What pairing leaves for the agent. The token is in a file of its own beside it. */
export type AgentState = z.output<typeof shape>;

/** Where a paired device keeps state and token. */
export interface AgentFiles {
  readonly folder: string;
  readonly state: string;
  readonly token: string;
}

export function agentFiles(folder: string): AgentFiles {
  const whole = resolve(folder);
  return { folder: whole, state: join(whole, "agent.json"), token: join(whole, "device.token") };
}

/**
 * What pairing has left in the folder; null where the device was not paired.
 *
 * @throws ConfigError where the files cannot be used, or others can open the token
 */
export function readAgentState(files: AgentFiles): AgentState | null {
  let text: string;
  try {
    text = readFileSync(files.state, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw problem(files.state, `cannot be read (${codeOf(error)})`);
  }
  const state = parsed(text);
  if (state === null) throw problem(files.state, "is not what `hawser agent pair` writes");
  checkTokenFile(files.token);
  return state;
}

function parsed(text: string): AgentState | null {
  try {
    const result = shape.safeParse(JSON.parse(text));
    return result.success ? result.data : null;
  } catch {
    return null;
  }
}

/** Whoever can read the token can be the device. @throws ConfigError */
function checkTokenFile(path: string): void {
  let mode: number;
  try {
    ({ mode } = statSync(path));
  } catch (error) {
    throw problem(path, `cannot be read (${codeOf(error)}); pair the device anew`);
  }
  if ((mode & 0o077) !== 0) {
    const sentence = `other users can open the device's token: chmod 600 '${path}', and rotate the token if that may have been used`;
    throw problem(path, sentence);
  }
}

/** Who is paired in the folder, by reference and id; null for nobody. Never throws. */
export function pairedAs(files: AgentFiles): string | null {
  let token: string;
  try {
    token = readFileSync(files.token, "utf8").trim();
  } catch (error) {
    return codeOf(error) === "ENOENT" ? null : "a device that cannot be read";
  }
  const known = parseToken(token);
  try {
    const state = parsed(readFileSync(files.state, "utf8"));
    if (state !== null) return `the device ${state.device_id}`;
  } catch {
    // The token alone says enough.
  }
  return known.ok ? `the token ${known.ref}` : "another token";
}

/**
 * Keeps other pairings and rotations out of the folder, which is made (0700) where it is missing, while `work` runs. That
 * the folder can be written is known by then.
 *
 * @throws ConfigError
 */
export async function withAgentFiles<T>(files: AgentFiles, work: () => Promise<T>): Promise<T> {
  try {
    makeFolder(files.folder, 0o700);
  } catch (error) {
    throw problem(files.folder, `cannot be made (${codeOf(error)})`);
  }
  const unlock = await lockFile(files.state);
  try {
    return await work();
  } finally {
    await unlock();
  }
}

/** Stores a token and what belongs to it, each at one stroke and mode 0600; the token first. */
export async function storeAgentState(
  files: AgentFiles,
  state: AgentState,
  token: string,
): Promise<void> {
  await replaceFile(files.token, `${token}\n`);
  await replaceFile(files.state, `${JSON.stringify(state, null, 2)}\n`);
}

function problem(setting: string, sentence: string): ConfigError {
  return new ConfigError([{ setting, problem: sentence }]);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}
