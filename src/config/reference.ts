import type { Loaded } from "./load.ts";
import {
  allSettings,
  defaultOf,
  flagName,
  type Setting,
  type SettingsCommand,
  variableName,
} from "./settings.ts";

/** The default of a setting as help and documents show it. */
export function showDefault(setting: Setting<unknown>, command: SettingsCommand): string {
  if (setting.defaultText !== "") return setting.defaultText;
  return setting.kind.show(defaultOf(setting, command));
}

const INTRODUCTION = `# Configuration

<!-- Made from src/config/settings.ts by \`npm run docs\`. Change that table, not this page. -->

Every setting can be given as a flag, as a variable of the environment, or as a key of the JSON file that
\`--config\` (or \`HAWSER_CONFIG\`) names. A flag wins over a variable, a variable over the file, the file over the
default. An empty variable counts as one that is not set.

\`\`\`console
$ hawser relay --listen-port 8443
$ HAWSER_LISTEN_PORT=8443 hawser relay
$ echo '{ "listenPort": 8443 }' > hawser.json && hawser relay --config hawser.json
\`\`\`

- Times are written \`250ms\`, \`30s\`, \`5m\`, \`2h\` or \`1d\`; a plain number is milliseconds.
- Sizes are written \`512B\`, \`64KiB\`, \`4MiB\` or \`1GiB\`; a plain number is bytes.
- A key of the file that is no setting is an error. A setting of another command may stand in the file: one file
  can serve several commands.
- Secrets are taken from a variable or from a file of their own, never from a flag or from the configuration file.
- All problems are reported at once. \`--check-config\` checks everything, prints the effective settings and where
  each came from, with secrets left out, and starts nothing; it ends with 0, or with 2 if there are problems.
`;

/** The whole text of \`docs/configuration.md\`. */
export function configurationMarkdown(): string {
  const parts = [INTRODUCTION];
  let group = "";
  for (const [name, setting] of allSettings()) {
    if (setting.group !== group) {
      group = setting.group;
      parts.push(`\n## ${group}\n`);
    }
    parts.push(settingMarkdown(name, setting));
  }
  return parts.join("");
}

function settingMarkdown(name: string, setting: Setting<unknown>): string {
  const valueName = setting.kind.valueName;
  const flag = valueName === "" ? `\`${flagName(name)}\`` : `\`${flagName(name)} <${valueName}>\``;
  const spellings = setting.secret
    ? [`\`${variableName(name)}\` only`]
    : [flag, `\`${variableName(name)}\``];
  const value = defaultMarkdown(setting);
  const commands = setting.commands.map((command) => `\`hawser ${command}\``).join(", ");
  return `
### \`${name}\`

${setting.description}

- ${spellings.join(", ")}
- Default: ${value}
- Read by: ${commands}
`;
}

function defaultMarkdown(setting: Setting<unknown>): string {
  if (setting.defaultText !== "") return setting.defaultText;
  const others = Object.entries(setting.defaults).map(
    ([command, value]) => `, \`${setting.kind.show(value)}\` for \`hawser ${command}\``,
  );
  return `\`${setting.kind.show(setting.default)}\`${others.join("")}`;
}

/** One line of `--check-config`: a setting that the command reads. */
export interface EffectiveSetting {
  readonly name: string;
  /** Null where a secret stands or where nothing is set. */
  readonly value: unknown;
  readonly shown: string;
  readonly origin: string;
}

/** The effective settings, secrets left out. */
export function effectiveSettings(loaded: Loaded, names: readonly string[]): EffectiveSetting[] {
  return allSettings()
    .filter(([name]) => names.includes(name))
    .map(([name, setting]) => {
      const value: unknown = loaded.values[name];
      const origin = loaded.origins.get(name) ?? "default";
      if (setting.secret) {
        return { name, value: null, shown: value === null ? "(not set)" : "(secret)", origin };
      }
      if (setting.holdsSecret(value)) {
        return { name, value: null, shown: setting.kind.show(value), origin };
      }
      const text = value === null ? "" : setting.kind.show(value);
      const shown = text === "" ? `(${plain(setting.defaultText)})` : text;
      return { name, value, shown, origin };
    });
}

/** Markdown's code marks have no place in a terminal. */
export function plain(markdown: string): string {
  return markdown.replaceAll("`", "");
}
