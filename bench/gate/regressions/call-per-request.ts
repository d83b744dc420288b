/** A regression on purpose: one system call more for each request. */
import { fstatSync } from "node:fs";
import { Exchange } from "../../../src/relay/exchange.ts";

const { start } = Exchange.prototype;
Exchange.prototype.start = function calling(tunnel) {
  fstatSync(1);
  start.call(this, tunnel);
};
