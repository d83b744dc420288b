/** Typed configuration: one table of settings, read from flags, environment and file, checked once. */
export {
  dataFolder,
  type InternalSecret,
  internalSecret,
  internalSecretPath,
} from "./internal-secret.ts";
export {
  type Loaded,
  loadSettings,
  type Origin,
  type SettingsCheck,
  type Sources,
} from "./load.ts";
export {
  configurationMarkdown,
  type EffectiveSetting,
  effectiveSettings,
  plain,
  showDefault,
} from "./reference.ts";
export {
  type ApiGateSettings,
  apiGateOptions,
  inSettingNames,
  relayOptions,
  relaySettingsProblems,
} from "./relay.ts";
export {
  allSettings,
  flagName,
  type Setting,
  type SettingName,
  type SettingsCommand,
  settingsOf,
  type Values,
  variableName,
} from "./settings.ts";
