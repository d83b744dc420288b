import { spawn } from "node:child_process";

/**
 * Asks the system to show a page, where it has a desktop to show it on. Returns at once; nothing tells whether a person
 * sees it, so the address must be printed as well.
 *
 * @param url http or https
 */
export function openBrowser(url: string, environment: NodeJS.ProcessEnv = process.env): void {
  const command = opener(process.platform, environment);
  if (command === null) return;
  const [program, ...words] = command;
  const child = spawn(program, [...words, url], { stdio: "ignore", detached: true });
  // No such program: the person has the address.
  child.on("error", () => {});
  child.unref();
}

/** The program that opens a page; null where there is no desktop. */
export function opener(
  platform: NodeJS.Platform,
  environment: NodeJS.ProcessEnv,
): readonly [string, ...string[]] | null {
  if (platform === "darwin") return ["open"];
  if (platform === "win32") return ["rundll32", "url.dll,FileProtocolHandler"];
  // Without a desktop xdg-open may start a browser of text in this very terminal.
  const hasDesktop = (environment["DISPLAY"] ?? "") + (environment["WAYLAND_DISPLAY"] ?? "") !== "";
  return hasDesktop ? ["xdg-open"] : null;
}
