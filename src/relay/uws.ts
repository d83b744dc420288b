import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { AppError } from "../core/errors.ts";
import { retargetElf } from "./elf-retarget.ts";
import { cachedFile, cacheFolders, sha256 } from "./uws-cache.ts";

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
  /** Version of the running glibc, or null where there is none or it is not known. */
  glibcVersion(): string | null;
  /** Loads a native file and gives its exports. Throws what `process.dlopen` throws. */
  dlopen(path: string): unknown;
}

/** SHA-256 of a file of the package, and of the retargeted copy that is made of it. */
interface KnownBinary {
  readonly original: string;
  readonly retargeted: string;
}

/** Every Linux binary of 20.57.0: the only files that a copy is made of. */
export const KNOWN_BINARIES: Readonly<Record<string, KnownBinary>> = {
  "uws_linux_x64_115.node": {
    original: "5b126ee00bf754b02e97e4c27090365a8562c5820c93f93918ac2212d4503e91",
    retargeted: "d1156432c696075e653325e7d7a784796db200923221e1e4a36293d15d724e32",
  },
  "uws_linux_x64_127.node": {
    original: "4b55b1f2cb7a7913febbb65a89496412b96af77e838552980092ba6b33723aac",
    retargeted: "f1608f301188933e79a50cf7d219a30ee83814aaba5e400e37c10eb9be7958db",
  },
  "uws_linux_x64_137.node": {
    original: "98128405dba2fb608448e921a979530f70c946a2cc9889c15f2fa70c2d00ab05",
    retargeted: "337e7312c83b0df8accbe2446055c1e663ef14824712a055dfb8c34852cd8d69",
  },
  "uws_linux_x64_141.node": {
    original: "813d788b347c6fd76b779d8932311ec05a044e612b4b83af220f16e6ea789683",
    retargeted: "66513ca63ef5fe6c0534f58cee955fcb272d49194dda12a806c2c1ccfb9b636d",
  },
  "uws_linux_arm64_115.node": {
    original: "6bdbc8ff976b4371af1906175e9025804bacc38a414969f4f02314e6b99f206c",
    retargeted: "c2d1ed56dd649fa070edc7f40ab7f001220b779a25ccf74b4668956815add011",
  },
  "uws_linux_arm64_127.node": {
    original: "82b79bd18d1e3563de336156005bd01b7f39fc387b65173d69a29da4ee79f895",
    retargeted: "2c554a4acaef582e6cff58bbe9d555749d492153167e06c38721e39fd4f467ae",
  },
  "uws_linux_arm64_137.node": {
    original: "88618b30ddf6b2b62310db89f40a701616676352aac5e0f6184dd8ef876199ce",
    retargeted: "c52f98e37763f821adfd7a24445de06c5941db0bb99b92fd2ac06d5f65cd50f8",
  },
  "uws_linux_arm64_141.node": {
    original: "81d0186dd1549ed6a7f47e68e323573fc27d69d2920527654ce2dd993af2b0ec",
    retargeted: "ca84857b2027db75652dfed569fdac54439f5ba932e91de17ad04f895ec631e0",
  },
};

/** The oldest glibc that has everything else that the binaries ask for. */
const GLIBC_MINOR_MIN = 36;

const GLIBC_TOO_OLD =
  "The relay needs glibc 2.36 or newer: Debian 12, Ubuntu 24.04, Fedora 37, RHEL 10 or later.";

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isGlibcTooOld(version: string | null): boolean {
  const match = /^2\.(\d+)/.exec(version ?? "");
  return match !== null && Number(match[1]) < GLIBC_MINOR_MIN;
}

function loadRetargeted(host: UwsHost, name: string, path: string): unknown {
  const glibc = host.glibcVersion();
  if (isGlibcTooOld(glibc)) {
    throw new AppError("ERR_UWS_GLIBC_TOO_OLD", `${GLIBC_TOO_OLD} This system has ${glibc}.`);
  }
  const original = readFileSync(path);
  const known = KNOWN_BINARIES[name];
  if (known === undefined || sha256(original) !== known.original) {
    throw new AppError(
      "ERR_UWS_UNKNOWN_BINARY",
      `${name} needs glibc 2.38 and is not the file of uWebSockets.js 20.57.0 that the relay can adapt.`,
    );
  }
  const copy = cachedFile({
    name: `uws-${known.retargeted}.node`,
    digest: known.retargeted,
    make: () => retargetElf(original),
    folders: host.cacheFolders,
    uid: host.uid,
  });
  try {
    return host.dlopen(copy);
  } catch (cause) {
    if (/GLIBC_2\.\d+' not found/.test(messageOf(cause))) {
      throw new AppError("ERR_UWS_GLIBC_TOO_OLD", GLIBC_TOO_OLD, { cause });
    }
    throw new AppError("ERR_UWS_LOAD", `Cannot load ${copy}: ${messageOf(cause)}`, { cause });
  }
}

/**
 * Loads the native file for this platform: as it is where that works, else, on Linux with glibc 2.36 or 2.37, a
 * retargeted copy. Not memoised; `loadUws` is what the relay calls.
 *
 * @throws AppError with a code `ERR_UWS_…`
 */
export function loadNative(host: UwsHost): unknown {
  const name = `uws_${host.platform}_${host.arch}_${host.abi}.node`;
  const path = join(host.packageFolder, name);
  if (!existsSync(path)) {
    throw new AppError(
      "ERR_UWS_UNSUPPORTED",
      `uWebSockets.js has no binary for ${host.platform} ${host.arch}, Node ABI ${host.abi}; ` +
        "use Node 20, 22, 24 or 25 on Linux with glibc, macOS or Windows.",
    );
  }
  try {
    return host.dlopen(path);
  } catch (cause) {
    if (host.platform === "linux" && messageOf(cause).includes("GLIBC_2.38")) {
      return loadRetargeted(host, name, path);
    }
    throw new AppError("ERR_UWS_LOAD", `Cannot load ${path}: ${messageOf(cause)}`, { cause });
  }
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

let loaded: { readonly uws: Uws; readonly headBytesMax: number } | null = null;

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
  const native = loadNative(thisHost());
  if (!isUws(native)) {
    throw new AppError("ERR_UWS_LOAD", "The native file does not export what uWebSockets.js does.");
  }
  native._cfg(SILENT);
  loaded = { uws: native, headBytesMax };
  return native;
}
