import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { AppError } from "../core/errors.ts";
import { readOnceElf } from "./elf-read-once.ts";
import { shortRecvElf } from "./elf-recv-length.ts";
import { retargetElf } from "./elf-retarget.ts";
import { longUpgradeElf } from "./elf-upgrade-block.ts";
import { cachedFile, cacheFolders, sha256OfFile } from "./uws-cache.ts";

/** The native exports of uWebSockets.js 20.57. */
export type Uws = typeof import("uWebSockets.js");

export interface UwsOptions {
  /** Longest request head that uWS accepts; a longer one is answered 431 by uWS itself. */
  readonly headBytesMax: number;
}

/** What the loader needs of its surroundings; tests hand in their own. */
export interface UwsHost {
  readonly platform: string;
  readonly arch: string;
  /** `process.versions.modules`: the ABI that the file name ends in. */
  readonly abi: string;
  /** Folder of the installed package. */
  readonly packageFolder: string;
  readonly cacheFolders: readonly string[];
  readonly uid: number;
  /**
   * Version of the running glibc, or null where there is none or it is not known. Asked for only where a file cannot be
   * loaded, to say why: the answer takes Node up to 15 ms.
   */
  glibcVersion(): string | null;
  /** Loads a native file and gives its exports. Throws what `process.dlopen` throws. */
  dlopen(path: string): unknown;
}

/** SHA-256 of a file of the package, and of the adapted copy that is made of it. */
interface KnownBinary {
  readonly original: string;
  readonly adapted: string;
}

/** Every Linux binary of 20.57.0: the only files that a copy is made of. */
export const KNOWN_BINARIES: Readonly<Record<string, KnownBinary>> = {
  "uws_linux_x64_115.node": {
    original: "5b126ee00bf754b02e97e4c27090365a8562c5820c93f93918ac2212d4503e91",
    adapted: "218898a231852e7e560813463ae9cea200bc975ea122a5b45fd7d8a17b02455d",
  },
  "uws_linux_x64_127.node": {
    original: "4b55b1f2cb7a7913febbb65a89496412b96af77e838552980092ba6b33723aac",
    adapted: "4a8868af9d01f3f1ab03c1514c5d1cf54b3e51aeb42a5875aeac7faa50edc27c",
  },
  "uws_linux_x64_137.node": {
    original: "98128405dba2fb608448e921a979530f70c946a2cc9889c15f2fa70c2d00ab05",
    adapted: "62c2d9f3e15456c6865b25636ee3a5a24e2f651c6ee6c938988ce524b26b3388",
  },
  "uws_linux_x64_141.node": {
    original: "813d788b347c6fd76b779d8932311ec05a044e612b4b83af220f16e6ea789683",
    adapted: "2148ad0f1a612ce65e507a704bc64d7cbca9be38d98a268fafd4671f26e4f9a9",
  },
  "uws_linux_arm64_115.node": {
    original: "6bdbc8ff976b4371af1906175e9025804bacc38a414969f4f02314e6b99f206c",
    adapted: "39476afd496dc7566cb618db2a736d472b95a5f5456257135a64e2262496aff5",
  },
  "uws_linux_arm64_127.node": {
    original: "82b79bd18d1e3563de336156005bd01b7f39fc387b65173d69a29da4ee79f895",
    adapted: "9989d8f79cd0ec7764b951d68974c61b3960438b3a928f5059faaa3893c7b74d",
  },
  "uws_linux_arm64_137.node": {
    original: "88618b30ddf6b2b62310db89f40a701616676352aac5e0f6184dd8ef876199ce",
    adapted: "d528d4e6e323dbc7b9ba71dfc5f5262a2483b27c1d0ecf93e2c85f84d9165420",
  },
  "uws_linux_arm64_141.node": {
    original: "81d0186dd1549ed6a7f47e68e323573fc27d69d2920527654ce2dd993af2b0ec",
    adapted: "8bdfcb708de0651da0fabd9ebabbf73b34c3ad4ad5e8ba0d3a25364f0c1c55df",
  },
};

/** The oldest glibc that has everything else that the binaries ask for. */
const GLIBC_MINOR_MIN = 36;

const GLIBC_TOO_OLD =
  "The relay needs glibc 2.36 or newer: Debian 12, Ubuntu 24.04, Fedora 37, RHEL 10 or later.";

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function checkGlibc(host: UwsHost): void {
  const version = host.glibcVersion();
  const match = /^2\.(\d+)/.exec(version ?? "");
  if (match !== null && Number(match[1]) < GLIBC_MINOR_MIN) {
    throw new AppError("ERR_UWS_GLIBC_TOO_OLD", `${GLIBC_TOO_OLD} This system has ${version}.`);
  }
}

function asksForNewerGlibc(error: unknown): boolean {
  return /GLIBC_2\.\d+' not found/.test(messageOf(error));
}

/**
 * The copy that is loaded in place of a listed file: it runs on glibc 2.36, reads once per event and not too much, and
 * keeps what it still reads of an upgraded socket.
 */
export function adaptBinary(original: Uint8Array): Uint8Array {
  return longUpgradeElf(shortRecvElf(readOnceElf(retargetElf(original))));
}

/** What was loaded. */
export interface LoadedNative {
  readonly native: unknown;
  /** Whether it is the adapted copy. */
  readonly isAdapted: boolean;
}

/** Loads the file as it is; a failure is told as `adapting`, the failure to use a copy, where there was one. */
function loadPlain(host: UwsHost, path: string, adapting?: unknown): LoadedNative {
  try {
    return { native: host.dlopen(path), isAdapted: false };
  } catch (cause) {
    if (adapting !== undefined) throw adapting;
    if (host.platform === "linux" && messageOf(cause).includes("GLIBC_2.38")) {
      checkGlibc(host);
      throw new AppError(
        "ERR_UWS_UNKNOWN_BINARY",
        `${path} needs glibc 2.38 and is not the file of uWebSockets.js 20.57.0 that the relay can adapt.`,
        { cause },
      );
    }
    throw new AppError("ERR_UWS_LOAD", `Cannot load ${path}: ${messageOf(cause)}`, { cause });
  }
}

function loadAdapted(host: UwsHost, path: string, digest: string): LoadedNative {
  let copy: string;
  try {
    copy = cachedFile({
      name: `uws-${digest}.node`,
      digest,
      make: () => adaptBinary(readFileSync(path)),
      folders: host.cacheFolders,
      uid: host.uid,
    });
  } catch (error) {
    if (error instanceof AppError && error.code === "ERR_UWS_CACHE_FOLDER") {
      checkGlibc(host);
      return loadPlain(host, path, error);
    }
    throw error;
  }
  try {
    return { native: host.dlopen(copy), isAdapted: true };
  } catch (cause) {
    if (asksForNewerGlibc(cause)) {
      checkGlibc(host);
      throw new AppError("ERR_UWS_GLIBC_TOO_OLD", GLIBC_TOO_OLD, { cause });
    }
    // Such as a folder that is mounted noexec.
    const message = `Cannot load ${copy}: ${messageOf(cause)}`;
    return loadPlain(host, path, new AppError("ERR_UWS_LOAD", message, { cause }));
  }
}

/**
 * Loads the native file for this platform: on Linux, where it is a listed one, as an adapted copy, else as it is.
 * Where no folder can hold the copy, the plain file serves if it loads. Not memoised; `loadUws` is what the relay
 * calls.
 *
 * @throws AppError with a code `ERR_UWS_…`
 */
export function loadNative(host: UwsHost): LoadedNative {
  const name = `uws_${host.platform}_${host.arch}_${host.abi}.node`;
  const path = join(host.packageFolder, name);
  if (!existsSync(path)) {
    throw new AppError(
      "ERR_UWS_UNSUPPORTED",
      `uWebSockets.js has no binary for ${host.platform} ${host.arch}, Node ABI ${host.abi}; ` +
        "use Node 20, 22, 24 or 25 on Linux with glibc, macOS or Windows.",
    );
  }
  if (host.platform !== "linux") return loadPlain(host, path);
  const known = KNOWN_BINARIES[name];
  if (known === undefined) return loadPlain(host, path);
  if (sha256OfFile(path) !== known.original) return loadPlain(host, path);
  return loadAdapted(host, path, known.adapted);
}

function packageFolder(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve("uWebSockets.js"));
  } catch (cause) {
    throw new AppError("ERR_UWS_NOT_INSTALLED", "The package uWebSockets.js is not installed.", {
      cause,
    });
  }
}

function glibcVersion(): string | null {
  const report: unknown = process.report.getReport();
  if (typeof report !== "object" || report === null || !("header" in report)) return null;
  const { header } = report;
  if (typeof header !== "object" || header === null) return null;
  return "glibcVersionRuntime" in header && typeof header.glibcVersionRuntime === "string"
    ? header.glibcVersionRuntime
    : null;
}

/** The process that we run in. */
export function thisHost(): UwsHost {
  const uid = process.getuid?.() ?? -1;
  return {
    platform: process.platform,
    arch: process.arch,
    abi: process.versions.modules,
    packageFolder: packageFolder(),
    cacheFolders: cacheFolders(process.env, uid),
    uid,
    glibcVersion,
    dlopen: (path) => {
      const module = { exports: {} as unknown };
      process.dlopen(module, path);
      return module.exports;
    },
  };
}

/** The exports that the relay relies on, and the switch that the package's types leave out. */
interface Configurable {
  _cfg(setting: string): void;
}

function isUws(native: unknown): native is Uws & Configurable {
  if (typeof native !== "object" || native === null) return false;
  const { App, SSLApp, _cfg } = native as Record<string, unknown>;
  return typeof App === "function" && typeof SSLApp === "function" && typeof _cfg === "function";
}

/** Tells uWS to leave out the `uWebSockets: 20` field of its responses. */
const SILENT = "999999990007";

interface Loaded {
  readonly uws: Uws;
  readonly headBytesMax: number;
  readonly isAdapted: boolean;
}

let loaded: Loaded | null = null;

/**
 * Whether the adapted copy is loaded. Where it is not (macOS, Windows, another file than the listed ones, no folder for
 * the copy), `pause()` does not stop an upload that comes faster than it is read.
 */
export function uwsAdapted(): boolean {
  return loaded?.isAdapted ?? false;
}

/**
 * Gives uWebSockets.js, loaded once per process. The head limit is read by the native code while it loads, from
 * the environment of the process, hence it is the same for all apps of a process, and a worker thread (whose
 * `process.env` is a copy) gets the limit that the main thread loaded with.
 *
 * @throws AppError with a code `ERR_UWS_…`; `ERR_UWS_HEAD_LIMIT` on a second call with another limit
 * @see docs/adr/0002-uwebsockets-package-and-glibc.md
 */
export function loadUws({ headBytesMax }: UwsOptions): Uws {
  if (loaded !== null) {
    if (loaded.headBytesMax !== headBytesMax) {
      throw new AppError(
        "ERR_UWS_HEAD_LIMIT",
        `uWebSockets.js is loaded with a head limit of ${loaded.headBytesMax} bytes; ` +
          "one process cannot have two.",
      );
    }
    return loaded.uws;
  }
  process.env["UWS_HTTP_MAX_HEADERS_SIZE"] = String(headBytesMax);
  const { native, isAdapted } = loadNative(thisHost());
  if (!isUws(native)) {
    throw new AppError("ERR_UWS_LOAD", "The native file does not export what uWebSockets.js does.");
  }
  native._cfg(SILENT);
  loaded = { uws: native, headBytesMax, isAdapted };
  return native;
}
