/** The server's side of `hawser login`, and what a key may do about itself. */
export { CLI_LOGIN_ERRORS, type CliLoginErrorCode } from "./errors.ts";
export { ownKeyRoutes } from "./own-key.ts";
export { CLI_LOGIN_PATH, type CliLoginDeps, cliLoginRoutes } from "./routes.ts";
