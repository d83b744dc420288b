import { count, file, text } from "./kinds.ts";
import { optional, setting } from "./setting.ts";

/** The rows of the agent. */
export const AGENT_SETTINGS = {
  relay: optional(
    "Agent",
    text("url"),
    "that of `hawser agent pair`, else required",
    "Relay to dial: `ws://host:3800` or `wss://host`. Without a path `/tunnel/connect` is dialled.",
    { commands: ["agent"] },
  ),
  tokenFile: optional(
    "Agent",
    file(),
    "that of `hawser agent pair`; else required, unless `HAWSER_TOKEN` holds the token",
    "File with the device token. Read again before every dial.",
    { commands: ["agent"], mustBeReadable: true },
  ),
  token: optional(
    "Agent",
    text("token"),
    "the file",
    "The device token itself. Taken from the variable alone; a token file wins over it.",
    { commands: ["agent"], secret: true },
  ),
  to: optional(
    "Agent",
    text("url"),
    "required",
    "Local service: `http://host:port`, `https://host:port`, or `tcp://host:port` for bytes as they are.",
    { commands: ["agent"] },
  ),
  ca: optional(
    "Agent",
    file(),
    "Node's own list",
    "Certificates in PEM that the relay's is checked against.",
    { commands: ["agent"], mustBeReadable: true },
  ),
  toCa: optional(
    "Agent",
    file(),
    "Node's own list",
    "Certificates in PEM that the one of an `https://` service is checked against.",
    { commands: ["agent"], mustBeReadable: true },
  ),
  maxStreams: setting("Agent", count(1, 65_536), 256, "Streams at a time; more are refused.", {
    commands: ["agent"],
  }),
} as const;
