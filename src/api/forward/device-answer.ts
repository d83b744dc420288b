import { HeadStart } from "../byte-answer.ts";
import type { AnswerHead } from "../relay-http/index.ts";
import { answerNames } from "./field-names.ts";

/** What the relay adds to every answer of a device, and never to one of its own; a device cannot take it away. */
const VIA_RELAY = "1.1 hawser";
/** Fields of the relay's own answers that a client is to see. */
const RELAY_FIELDS: ReadonlySet<string> = new Set(["content-type", "retry-after", "allow"]);

/** No script, no form, an origin of its own; and no page of others around it. */
const DEVICE_CSP = "sandbox; frame-ancestors 'none'";

/** What of an answer's head a client is told. */
export interface ToldHead {
  /** False for an answer of the relay itself. */
  readonly isFromDevice: boolean;
  /** With the fields that pass as they are. */
  readonly start: HeadStart;
  /** `Location` and `Content-Location` of a device, to be checked. */
  readonly places: readonly { readonly name: string; readonly value: string }[];
}

/** By the head, which is the same object where the same was said before. */
const known = new WeakMap<AnswerHead, ToldHead>();

/** Picks what a client is told of a head. */
export function toldOf(head: AnswerHead): ToldHead {
  const before = known.get(head);
  if (before !== undefined) return before;
  const told = isFromDevice(head) ? toldOfDevice(head) : toldOfRelay(head);
  known.set(head, told);
  return told;
}

function toldOfDevice(head: AnswerHead): ToldHead {
  const { status, fields } = head;
  let lines = "";
  const places: { name: string; value: string }[] = [];
  for (const { name, value } of fields) {
    if (answerNames.passes(name)) {
      lines += `${name}: ${value}\r\n`;
      continue;
    }
    const plain = name.toLowerCase();
    if (plain === "location" || plain === "content-location") places.push({ name: plain, value });
  }
  const start = new HeadStart(status, lines, DEVICE_CSP, head);
  return { isFromDevice: true, start, places };
}

function toldOfRelay(head: AnswerHead): ToldHead {
  const { status, fields } = head;
  let lines = "";
  for (const { name, value } of fields) {
    if (RELAY_FIELDS.has(name.toLowerCase())) lines += `${name}: ${value}\r\n`;
  }
  return { isFromDevice: false, start: new HeadStart(status, lines, null, head), places: [] };
}

/** The relay's own line is the last of its name. */
function isFromDevice({ fields }: AnswerHead): boolean {
  return fields.findLast(({ name }) => name.toLowerCase() === "via")?.value === VIA_RELAY;
}
