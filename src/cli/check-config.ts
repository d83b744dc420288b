import {
  effectiveSettings,
  type Loaded,
  type SettingsCommand,
  settingsOf,
} from "../config/index.ts";

/** Prints what a command would run with, and where each value came from. Secrets are left out. */
export function printConfig(
  command: SettingsCommand,
  loaded: Loaded,
  notes: readonly string[],
  json: boolean,
): void {
  const names = settingsOf(command).map(([name]) => name);
  const settings = effectiveSettings(loaded, names);
  if (json) {
    const rows = settings.map(({ name, value, origin }) => [name, { value, origin }]);
    const report = { ok: true, settings: Object.fromEntries(rows), warnings: loaded.warnings };
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const width = Math.max(...names.map((name) => name.length));
  const lines = [
    ...settings.map(({ name, shown, origin }) => `${name.padEnd(width)}  ${shown}  (${origin})`),
    ...notes,
    ...loaded.warnings.map((sentence) => `warning: ${sentence}`),
    "The configuration can be used.",
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
