import { Command } from "commander";
import { ConfigError } from "../../core/errors.ts";
import { type ApiClient, record, textOf } from "../api-client.ts";
import {
  addClientFlags,
  type ClientFlags,
  numberOf,
  segment,
  withClient,
} from "../client-command.ts";
import { addExamples } from "../examples.ts";
import { facts, type Output, print, table } from "../print.ts";

const EXAMPLES = `
Examples:
  $ hawser devices list --tag floor-2 --connected
  $ hawser devices show abcdefgh234567ab
  $ hawser devices rename abcdefgh234567ab "press 7"
  $ hawser devices tag abcdefgh234567ab --add floor-2 --remove spare
  $ hawser devices approve abcdefgh234567ab       # where pairing needs approval; to refuse it, delete it
  $ hawser devices disconnect abcdefgh234567ab --drain 30
  $ hawser devices delete abcdefgh234567ab
  $ hawser devices rotate abcdefgh234567ab        # the old token is good until the new one is used
  $ hawser devices revoke abcdefgh234567ab        # closes the tunnel; the device has to be paired anew
  $ hawser devices revoke abcdefgh234567ab --token vAc_0aB1cD2e

Scopes of the key: devices:read to list and show, devices:write for the rest.
`;

const LIST_MAX = 100_000;
const PAGE = 1_000;

/** `hawser devices`: the devices of the tenant. */
export function devicesCommand(output: Output = process.stdout): Command {
  const devices = new Command("devices").description(
    "List devices, rename, tag, disconnect and delete them, and manage their tokens",
  );
  for (const command of [
    listCommand(output),
    showCommand(output),
    renameCommand(output),
    tagCommand(output),
    approveCommand(output),
    disconnectCommand(output),
    deleteCommand(output),
    rotateCommand(output),
    revokeCommand(output),
  ]) {
    devices.addCommand(command);
  }
  return addExamples(devices, EXAMPLES);
}

interface ListFlags extends ClientFlags {
  readonly tag?: string;
  readonly name?: string;
  readonly connected?: boolean;
  readonly offline?: boolean;
  readonly limit?: string;
}

function listCommand(output: Output): Command {
  return addClientFlags(new Command("list"))
    .description("List devices with what the relay says of them now")
    .option("--tag <tag>", "only devices with this tag")
    .option("--name <text>", "only devices whose name has this in it")
    .option("--connected", "only devices that are connected")
    .option("--offline", "only devices that are not")
    .option("--limit <count>", "at most so many (default: all)")
    .action(async (flags: ListFlags) => {
      if (flags.connected === true && flags.offline === true) {
        throw new ConfigError([{ setting: "--offline", problem: "contradicts --connected" }]);
      }
      const most = numberOf("--limit", flags.limit ?? String(LIST_MAX), 1, LIST_MAX);
      await withClient(flags, async (client) => {
        const found = await client.list("/api/devices", "devices", most, {
          limit: Math.min(most, PAGE),
          tag: flags.tag,
          name: flags.name,
          connected:
            flags.connected === true ? "true" : flags.offline === true ? "false" : undefined,
        });
        const rows = found.map((device) => [
          device["id"],
          device["name"],
          stateOf(device),
          device["last_seen_at"],
          device["address"],
          device["agent_version"],
          device["tags"],
        ]);
        const head = ["ID", "NAME", "STATE", "LAST SEEN", "ADDRESS", "AGENT", "TAGS"];
        const text = rows.length === 0 ? "No devices.\n" : table(head, rows);
        print(output, flags.json, { devices: found }, text);
      });
    });
}

/** One word for people. */
function stateOf(device: Readonly<Record<string, unknown>>): string {
  if (device["approved"] === false) return "unapproved";
  if (device["connected"] === true) return "connected";
  if (device["state"] === "pending") return "pending";
  return device["connected"] === false ? "offline" : "unknown";
}

function showCommand(output: Output): Command {
  return addClientFlags(new Command("show"))
    .description("Show a device, and the references of its tokens")
    .argument("<id>", "device id")
    .action(async (id: string, flags: ClientFlags) => {
      await withClient(flags, async (client) => {
        const path = pathOf(id);
        const device = record(await client.get(path));
        const tokens = await client.list(`${path}/tokens`, "tokens", PAGE);
        const text =
          deviceText(device) +
          (tokens.length === 0
            ? "\nNo token is good: the device has to be paired anew, or given a new token.\n"
            : `\n${table(
                ["TOKEN", "CREATED", "LAST USED", "ENDS"],
                tokens.map((token) => [
                  token["ref"],
                  token["created_at"],
                  token["last_used_at"],
                  token["good_until"] ?? token["expires_at"] ?? "never",
                ]),
              )}`);
        print(output, flags.json, { ...device, tokens }, text);
      });
    });
}

function deviceText(device: Readonly<Record<string, unknown>>): string {
  return facts([
    ["id", device["id"]],
    ["name", device["name"]],
    ["state", stateOf(device)],
    ["tags", device["tags"]],
    ["model", device["model"]],
    ["serial", device["serial"]],
    ["paired", device["created_at"]],
    ["connected since", device["connected_at"]],
    ["last seen", device["last_seen_at"]],
    ["last close", device["last_close_reason"]],
    ["address", device["address"]],
    ["agent", device["agent_version"]],
    ["at the edge", device["edge_url"]],
  ]);
}

function renameCommand(output: Output): Command {
  return addClientFlags(new Command("rename"))
    .description("Give a device another name")
    .argument("<id>", "device id")
    .argument("<name>", "its new name")
    .action(async (id: string, name: string, flags: ClientFlags) => {
      await withClient(flags, async (client) => {
        const device = record(await client.patch(pathOf(id), { name }));
        print(output, flags.json, device, deviceText(device));
      });
    });
}

interface TagFlags extends ClientFlags {
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
  readonly set?: readonly string[];
  readonly clear?: boolean;
}

function tagCommand(output: Output): Command {
  return addClientFlags(new Command("tag"))
    .description("Change the tags of a device")
    .argument("<id>", "device id")
    .option("--add <tag...>", "tags that it gets")
    .option("--remove <tag...>", "tags that it loses")
    .option("--set <tag...>", "all of its tags")
    .option("--clear", "take all tags away")
    .action(async (id: string, flags: TagFlags) => {
      const ways = [flags.add ?? flags.remove, flags.set, flags.clear];
      if (ways.filter((way) => way !== undefined).length !== 1) {
        const problem = "give either --add and --remove, or --set, or --clear";
        throw new ConfigError([{ setting: "tags", problem }]);
      }
      await withClient(flags, async (client) => {
        const tags = await newTags(client, id, flags);
        const device = record(await client.patch(pathOf(id), { tags }));
        print(output, flags.json, device, deviceText(device));
      });
    });
}

async function newTags(client: ApiClient, id: string, flags: TagFlags): Promise<string[]> {
  if (flags.clear === true) return [];
  if (flags.set !== undefined) return [...flags.set];
  const { tags } = record(await client.get(pathOf(id)));
  const present = Array.isArray(tags) ? tags.map(String) : [];
  const removed = new Set(flags.remove ?? []);
  return [...new Set([...present, ...(flags.add ?? [])])].filter((tag) => !removed.has(tag));
}

function approveCommand(output: Output): Command {
  return addClientFlags(new Command("approve"))
    .description("Let callers reach a device that was paired and waits for that")
    .argument("<id>", "device id")
    .action(async (id: string, flags: ClientFlags) => {
      await withClient(flags, async (client) => {
        const device = record(await client.post(`${pathOf(id)}/approve`));
        print(output, flags.json, device, deviceText(device));
      });
    });
}

interface DisconnectFlags extends ClientFlags {
  readonly drain?: string;
}

function disconnectCommand(output: Output): Command {
  return addClientFlags(new Command("disconnect"))
    .description("Close a device's tunnel; its agent dials again")
    .argument("<id>", "device id")
    .option("--drain <seconds>", "let running requests finish for so long (default: 0)")
    .action(async (id: string, flags: DisconnectFlags) => {
      const drain = flags.drain === undefined ? null : numberOf("--drain", flags.drain, 0, 300);
      await withClient(flags, async (client) => {
        const body = drain === null ? undefined : { drain_s: drain };
        const answer = record(await client.post(`${pathOf(id)}/disconnect`, body));
        const told =
          answer["disconnected"] === true ? "The tunnel is closed" : "There was no tunnel";
        print(output, flags.json, { id, ...answer }, `${told}.\n`);
      });
    });
}

function deleteCommand(output: Output): Command {
  return addClientFlags(new Command("delete"))
    .description("Delete a device with its tokens, and close its tunnel")
    .argument("<id>", "device id")
    .action(async (id: string, flags: ClientFlags) => {
      await withClient(flags, async (client) => {
        await client.delete(pathOf(id));
        print(output, flags.json, { id, deleted: true }, `The device ${id} is deleted.\n`);
      });
    });
}

function rotateCommand(output: Output): Command {
  return addClientFlags(new Command("rotate"))
    .description("Make a further token; the old one ends when the new one is used, or in 24 h")
    .argument("<id>", "device id")
    .action(async (id: string, flags: ClientFlags) => {
      await withClient(flags, async (client) => {
        const issued = record(await client.post(`${pathOf(id)}/token:rotate`));
        print(output, flags.json, issued, issuedText(issued));
      });
    });
}

function issuedText(issued: Readonly<Record<string, unknown>>): string {
  return `${facts([
    ["token", textOf(issued, "token")],
    ["", "shown once; put it into the device's token file"],
    ["ends", issued["expires_at"] ?? "never"],
    ["dials", issued["tunnel_url"]],
  ])}`;
}

interface RevokeFlags extends ClientFlags {
  readonly token?: string;
  readonly andRotate?: boolean;
}

function revokeCommand(output: Output): Command {
  return addClientFlags(new Command("revoke"))
    .description("End the tokens of a device at once, and close its tunnel")
    .argument("<id>", "device id")
    .option("--token <reference>", "only this token, as `devices show` names it")
    .option("--and-rotate", "make a new token in the same step")
    .action(async (id: string, flags: RevokeFlags) => {
      const { token, andRotate = false } = flags;
      if (token !== undefined && andRotate) {
        throw new ConfigError([{ setting: "--and-rotate", problem: "ends all tokens, not one" }]);
      }
      await withClient(flags, async (client) => {
        const path = pathOf(id);
        if (token !== undefined) {
          await client.delete(`${path}/tokens/${segment("--token", token)}`);
          print(output, flags.json, { id, revoked: [token] }, `The token ${token} has ended.\n`);
          return;
        }
        const action = andRotate ? "token:revoke-and-rotate" : "token:revoke";
        const answer = record(await client.post(`${path}/${action}`));
        const refs = Array.isArray(answer["revoked"]) ? answer["revoked"].map(String) : [];
        const ended = facts([["ended", refs]]);
        print(output, flags.json, { id, ...answer }, ended + (andRotate ? issuedText(answer) : ""));
      });
    });
}

function pathOf(id: string): string {
  return `/api/devices/${segment("<id>", id)}`;
}
