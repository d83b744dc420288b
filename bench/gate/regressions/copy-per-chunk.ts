/** A regression on purpose: what a tunnel receives is copied before it is read. */
import { Session } from "../../../src/mux/session.ts";

const { receive } = Session.prototype;
Session.prototype.receive = function copying(chunk) {
  receive.call(this, chunk.slice());
};
