import { type Command, Option } from "commander";
import {
  flagName,
  plain,
  type SettingsCommand,
  settingsOf,
  showDefault,
  variableName,
} from "../config/index.ts";

/** Gives a command the flags of its settings, `--config` among them, under the headings of the table. */
export function addSettings(command: Command, name: SettingsCommand): Command {
  command.addOption(
    new Option("--config <file>", "JSON file with settings (HAWSER_CONFIG)").helpGroup("Settings:"),
  );
  for (const [settingName, setting] of settingsOf(name)) {
    const { valueName } = setting.kind;
    if (setting.secret) {
      // Taken only to be refused with a word about where the secret belongs.
      command.addOption(new Option(`${flagName(settingName)} <${valueName}>`).hideHelp());
      continue;
    }
    // A switch may stand alone, and may be given a value to undo a variable or the file.
    const flags = `${flagName(settingName)} ${valueName === "" ? "[true|false]" : `<${valueName}>`}`;
    const shown = plain(showDefault(setting, name));
    const facts = [variableName(settingName), ...(shown === "" ? [] : [`default: ${shown}`])];
    command.addOption(
      new Option(flags, `${plain(setting.description)} (${facts.join("; ")})`).helpGroup(
        `${setting.group}:`,
      ),
    );
  }
  return command;
}
