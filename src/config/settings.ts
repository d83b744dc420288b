import { choice, duration } from "./kinds.ts";
import { DAY, SECOND, type Setting, type SettingsCommand, setting } from "./setting.ts";
import { ACCESS_PROXY_SETTINGS } from "./settings-access-proxy.ts";
import { AGENT_SETTINGS } from "./settings-agent.ts";
import { API_SETTINGS } from "./settings-api.ts";
import { RELAY_SETTINGS } from "./settings-relay.ts";

/**
 * Every setting, by its name in the configuration file. The flag of `listenPort` is `--listen-port`, its
 * variable `HAWSER_LISTEN_PORT`.
 */
export const SETTINGS = {
  ...RELAY_SETTINGS,
  ...API_SETTINGS,
  ...AGENT_SETTINGS,
  ...ACCESS_PROXY_SETTINGS,

  drainTime: setting(
    "Stopping and logs",
    duration(0, DAY),
    30 * SECOND,
    "How long a stop waits for running requests.",
    { commands: ["relay", "agent", "api", "up", "access-proxy"], defaults: { api: 10 * SECOND } },
  ),
  logLevel: setting(
    "Stopping and logs",
    choice(["trace", "debug", "info", "warn", "error", "silent"]),
    "info",
    "Least level of the lines that are written. The line of each request has level info.",
    { commands: ["relay", "agent", "api", "up", "dev", "access-proxy"] },
  ),
} as const;

export type { Setting, SettingsCommand } from "./setting.ts";

export type SettingName = keyof typeof SETTINGS;

/** The value of every setting. */
export type Values = {
  readonly [N in SettingName]: (typeof SETTINGS)[N] extends Setting<infer T> ? T : never;
};

/** `listenPort` → `--listen-port`. */
export function flagName(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `listenPort` → `HAWSER_LISTEN_PORT`. */
export function variableName(name: string): string {
  return `HAWSER_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** What a setting is when nobody says anything. */
export function defaultOf(setting: Setting<unknown>, command: SettingsCommand): unknown {
  return command in setting.defaults ? setting.defaults[command] : setting.default;
}

/** The settings of one command, in the order of the table. */
export function settingsOf(command: SettingsCommand): [SettingName, Setting<unknown>][] {
  return allSettings().filter(([, { commands }]) => commands.includes(command));
}

/** The whole table as a list. */
export function allSettings(): [SettingName, Setting<unknown>][] {
  return Object.entries(SETTINGS) as [SettingName, Setting<unknown>][];
}
