import { Command } from "commander";
import { ConfigError } from "../../core/errors.ts";
import { isTokenRef } from "../../core/token.ts";
import {
  type AdminFlags,
  addAdminFlags,
  addRelayFlag,
  nothingFound,
  tellRelay,
  withOperator,
} from "../admin-command.ts";
import { facts, type Output, print } from "../print.ts";

/** `hawser admin keys`: ends a key that leaked, whosever it is. */
export function adminKeysCommand(output: Output): Command {
  const keys = new Command("keys").description("Revoke API keys that leaked, whosever they are");
  keys.addCommand(
    addRelayFlag(addAdminFlags(new Command("revoke")))
      .description("Revoke a key at once and for good")
      .argument("<reference>", "reference of the key: its first 12 characters, hwk_…")
      .action(async (ref: string, flags: AdminFlags) => {
        if (!isTokenRef(ref, "key")) {
          const problem = "wanted the first 12 characters of a key, hwk_ among them, and no more";
          throw new ConfigError([{ setting: "<reference>", problem }]);
        }
        const key = await withOperator(flags, (operator) => operator.revokeKey(ref));
        if (key === null) throw nothingFound("such key that is not revoked yet");
        const told = await tellRelay(flags, [ref]);
        const { tenant, ownerId: owner_id, name } = key;
        const text = facts([
          ["revoked", ref],
          ["called", name],
          ["tenant", tenant],
          ["owner", owner_id],
        ]);
        print(output, flags.json, { ref, revoked: true, tenant, owner_id, name }, text + told);
      }),
  );
  return keys;
}
