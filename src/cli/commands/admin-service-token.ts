import { Command } from "commander";
import type { OidcError, ServiceClientSettings, ServiceToken } from "../../api/index.ts";
import {
  inApiSettingNames,
  type Loaded,
  loadSettings,
  oidcOptions,
  serviceClientSettings,
  variableName,
} from "../../config/index.ts";
import { ConfigError } from "../../core/errors.ts";
import { CommandError } from "../errors.ts";
import { facts, type Output, print } from "../print.ts";

interface Flags {
  readonly config?: string;
  readonly dataDir?: string;
  readonly print?: boolean;
  readonly json?: boolean;
}

/** `hawser admin service-token`: whether the API server gets a token of its own, as its settings say. */
export function serviceTokenCommand(output: Output): Command {
  return new Command("service-token")
    .description("Fetch a token as the API server does for itself, and tell what it is good for")
    .option("--config <file>", "JSON file with the settings of the API server (HAWSER_CONFIG)")
    .option("--data-dir <folder>", "data folder of the API server (HAWSER_DATA_DIR)")
    .option("--print", "also print the token, which is a secret")
    .option("--json", "print JSON")
    .action(async (flags: Flags) => {
      const settings = await settingsOf(flags);
      const token = await fetched(settings);
      const shown = {
        issuer: settings.issuer,
        client_id: settings.clientId,
        resource: settings.resource,
        scope: token.scope,
        expires_at: token.expiresAtMs === null ? null : new Date(token.expiresAtMs).toISOString(),
        ...(flags.print === true ? { token: token.token } : {}),
      };
      const text = facts([
        ["issuer", shown.issuer],
        ["client", shown.client_id],
        ["for", shown.resource ?? "what the provider gives by itself"],
        ["may", shown.scope ?? "the provider does not say"],
        ["ends", shown.expires_at ?? "the provider does not say"],
        ["token", flags.print === true ? token.token : "fetched; --print shows it"],
      ]);
      print(output, flags.json, shown, text);
    });
}

/** The server's own settings, all of them: one that could not start gets no token either. */
async function settingsOf({ config, dataDir }: Flags): Promise<ServiceClientSettings> {
  const { checkOidcOptions, checkServiceClient } = await import("../../api/index.ts");
  const sources = { flags: { config, dataDir }, environment: process.env };
  const loaded = loadSettings("api", sources);
  try {
    const oidc = checkOidcOptions(oidcOptions(loaded.values, process.env));
    const settings = checkServiceClient(serviceClientSettings(loaded.values), oidc);
    if (settings !== null) return settings;
    const problem = "is not set: the API server has no client of its own";
    throw new ConfigError([{ setting: "serviceClientId", problem }]);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = inApiSettingNames(error.problems).map(({ setting, problem }) => ({
      setting: isUnset(loaded, setting) ? variableName(setting) : loaded.spell(setting),
      problem,
    }));
    throw new ConfigError(problems);
  }
}

/** This command has no flags for the server's settings: what is missing is told by its variable. */
function isUnset({ origins }: Loaded, setting: string): boolean {
  return [...origins].some(([name, origin]) => name === setting && origin === "default");
}

async function fetched(settings: ServiceClientSettings): Promise<ServiceToken> {
  const { fetchServiceToken, OidcError } = await import("../../api/index.ts");
  try {
    return await fetchServiceToken(settings);
  } catch (error) {
    if (!(error instanceof OidcError)) throw error;
    const { code, message } = error;
    throw new CommandError(code, message, adviceFor(error, settings));
  }
}

function adviceFor({ code }: OidcError, { issuer }: ServiceClientSettings): string {
  switch (code) {
    case "ERR_OIDC_CLIENT_REFUSED":
      return "Compare serviceClientId, its secret and serviceClientAuth with what the provider has registered, and whether it allows the client credentials grant.";
    case "ERR_OIDC_IDP_RESPONSE":
      return "Compare serviceClientScope and serviceClientResource with what the provider has registered.";
    default:
      return `The provider is ${issuer}.`;
  }
}
