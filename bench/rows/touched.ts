import { helloEach } from "../support/verify.ts";
import { measureTunnels } from "./idle.ts";
import type { Family } from "./row.ts";

/** Memory of tunnels that have each carried one request: what a fleet weighs once it is in use. */
export const TOUCHED_FAMILY: Family = {
  ids: ["touched_rss"],
  run: (asked, context) => measureTunnels(asked, context, helloEach),
};
