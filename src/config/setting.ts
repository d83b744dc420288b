import type { Kind } from "./kinds.ts";

/** The commands that take settings. */
export type SettingsCommand = "relay" | "agent" | "api" | "up" | "dev" | "access-proxy";

/** One row of the table: everything that flags, variables, file keys, help and documents are made from. */
export interface Setting<T> {
  readonly kind: Kind<T>;
  readonly default: T;
  /** Defaults of commands that want another one. */
  readonly defaults: Partial<Record<SettingsCommand, T>>;
  readonly commands: readonly SettingsCommand[];
  /** Heading in help and documents. */
  readonly group: Group;
  /** One or two sentences; Markdown is shown as it is in `--help`. */
  readonly description: string;
  /** Shown in place of the default where the default depends on the machine or is no value. */
  readonly defaultText: string;
  /** The value is secret: taken from a variable alone, and never printed. */
  readonly secret: boolean;
  /** Whether a value, printable otherwise, holds a secret: a URL with a password. It is treated as one then. */
  readonly holdsSecret: (value: unknown) => boolean;
  /** The value names a file that must be readable. */
  readonly mustBeReadable: boolean;
}

export type Group =
  | "Listening"
  | "Who may connect and call"
  | "Requests"
  | "Tunnels"
  | "Flow control"
  | "API server"
  | "Sign-in"
  | "Secrets and storage"
  | "Sessions, tokens and keys"
  | "Limits of the API server"
  | "Agent"
  | "Access proxy"
  | "Calls of the access proxy"
  | "Stopping and logs";

type Extras<T> = Partial<
  Pick<
    Setting<T>,
    "commands" | "defaults" | "defaultText" | "secret" | "holdsSecret" | "mustBeReadable"
  >
>;

/** A row. Read by whatever runs a relay where `extras` names no commands. */
export function setting<T>(
  group: Group,
  kind: Kind<T>,
  defaultValue: NoInfer<T>,
  description: string,
  extras: Extras<NoInfer<T>> = {},
): Setting<T> {
  return {
    kind,
    default: defaultValue,
    defaults: extras.defaults ?? {},
    commands: extras.commands ?? ["relay", "up"],
    group,
    description,
    defaultText: extras.defaultText ?? "",
    secret: extras.secret ?? false,
    holdsSecret: extras.holdsSecret ?? (() => false),
    mustBeReadable: extras.mustBeReadable ?? false,
  };
}

/** A setting that may be left out. `withoutIt` says what happens then. */
export function optional<T>(
  group: Group,
  kind: Kind<T>,
  withoutIt: string,
  description: string,
  extras: Extras<T | null> = {},
): Setting<T | null> {
  const orNull: Kind<T | null> = {
    valueName: kind.valueName,
    wanted: kind.wanted,
    parse: kind.parse,
    show: (value) => (value === null ? "" : kind.show(value)),
  };
  return setting<T | null>(group, orNull, null, description, {
    defaultText: withoutIt,
    ...extras,
  });
}

export const KIB = 1_024;
export const MIB = 1_024 * KIB;
export const GIB = 1_024 * MIB;
export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
/** More than anybody has of anything: the end of counts that have none of their own. */
export const MANY = 10_000_000;
