/**
 * `npm run flame`: profiles of the relay and of the API server under load, as pictures in flamegraphs/. Its README says what
 * they show.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "../test/support/root.ts";
import { doctorData, doctorPicture } from "./flame/doctor.ts";
import { type Caption, flamePicture } from "./flame/picture.ts";
import { findingsOf, installProfilers, type Profiled } from "./flame/profilers.ts";
import { SCENARIOS, type Scenario } from "./flame/scenarios.ts";
import { folded, pruned, stacksOf, type Tick } from "./flame/stacks.ts";
import {
  chosenOf,
  type FlagsOf,
  note,
  runCommand,
  SEVERAL,
  wholeNumber,
} from "./support/command.ts";
import { prepareTools } from "./support/tools.ts";

const HELP = `Usage: npm run flame -- [options]

Runs the relay and the API server under clinic and 0x, draws flamegraphs/<id>.svg and prints the name of each. Installs both
profilers into flamegraphs/node_modules where they are missing. Needs wrk, gcc and Go.

Options:
  --only <id>      one picture; may be given again. Pictures:
                   ${SCENARIOS.map(({ id }) => id).join(", ")}
  --seconds <n>    seconds of load (default 10)
  --dry            without profilers and pictures: runs the load and ends
  --help           this text

Examples:
  npm run flame                                      every picture, about 2 minutes
  npm run flame -- --only relay-small --seconds 20   one, from a longer load
  npm run flame -- --dry --seconds 1                 whether every load runs on this machine
`;

/** Stacks of a profile that is kept beside its picture. */
const KEPT_NODES_MAX = 4_000;

const options = {
  only: SEVERAL,
  seconds: { type: "string", default: "10" },
  dry: { type: "boolean", default: false },
} as const;

async function main(flags: FlagsOf<typeof options>): Promise<void> {
  const seconds = wholeNumber("--seconds", flags.seconds);
  const ids = chosenOf(
    "--only",
    flags.only,
    SCENARIOS.map(({ id }) => id),
  );
  const chosen = SCENARIOS.filter(({ id }) => ids.includes(id));
  const tools = await prepareTools();
  if (!flags.dry) await installProfilers(note);
  for (const scenario of chosen) {
    note(`running ${scenario.id}`);
    const profiler = flags.dry ? "none" : scenario.profiler;
    const profiled = await scenario.run({ id: scenario.id, profiler, tools, seconds });
    if (flags.dry) continue;
    draw(scenario, profiled);
    process.stdout.write(`flamegraphs/${scenario.id}.svg\n`);
  }
}

function draw(scenario: Scenario, profiled: Profiled): void {
  const { id, title, profiler } = scenario;
  const findings = findingsOf(profiler, profiled);
  const folder = join(root, "flamegraphs");
  const caption: Caption = { title, origin: originOf(scenario) };
  const target = join(folder, `${id}.svg`);
  if (profiler === "clinic doctor") {
    writeFileSync(target, doctorPicture(doctorData(findings), caption));
    return;
  }
  const samples: Tick[][] = JSON.parse(findings);
  const stacks = stacksOf(samples);
  writeFileSync(target, flamePicture(stacks, caption));
  const kept = folded(pruned(stacks.tree, KEPT_NODES_MAX));
  writeFileSync(join(folder, `${id}.folded.gz`), gzipSync(kept));
}

function originOf({ id, profiler }: Scenario): string {
  const git = (...words: string[]): string =>
    execFileSync("git", words, { cwd: root, encoding: "utf8" }).trim();
  const changed = git("status", "--porcelain", "--", "src") === "" ? "" : " with changes";
  const commit = `${git("rev-parse", "--short=10", "HEAD")}${changed}`;
  return `npm run flame -- --only ${id} (${profiler}), commit ${commit}, Node ${process.version}`;
}

await runCommand({ name: "flame", help: HELP, options }, main);
