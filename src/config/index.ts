/** Typed configuration: one table of settings, read from flags, environment and file, checked once. */
export {
  accessProxyOptions,
  accessProxySettingsProblems,
  accessProxyWarnings,
  edgeAccess,
  internalListenerProblems,
} from "./access-proxy.ts";
export {
  type ApiListenerSettings,
  type AuthSettings,
  apiListenerOptions,
  apiSettingsProblems,
  apiWarnings,
  authSettings,
  type DeviceSettings,
  databaseUrl,
  deviceSettings,
  type Environment,
  inApiSettingNames,
  oidcOptions,
  type RelayUrls,
  relayUrls,
  requestRates,
  type ServiceClientSettings,
  type SessionRings,
  serviceClientSettings,
} from "./api.ts";
export {
  type InternalSecret,
  internalSecret,
  internalSecretPath,
} from "./internal-secret.ts";
export { keyRing, newKeyRing, RING_FILES, type RingSearch, type RingSetting } from "./key-ring.ts";
export {
  type LateSettingsCheck,
  type Loaded,
  loadSettings,
  loadSettingsLate,
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
  checkDataFolder,
  dataFolder,
  type FoundSecret,
  givenSecret,
  makeDataFolder,
  makeSecretOnce,
  readSecretFile,
  type SecretSetting,
} from "./secret-files.ts";
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
