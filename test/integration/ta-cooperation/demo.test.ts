import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import test, { type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { type Chapter, chapterText } from "../../../examples/ta-cooperation/demo/story.ts";
import { Demo } from "../../../examples/ta-cooperation/demo/tour.ts";
import { ALICE, TO_TA } from "../../../examples/ta-cooperation/stack.ts";
import { Changes } from "../../support/until.ts";

const here = fileURLToPath(import.meta.url);
const program = fileURLToPath(
  new URL(`../../../examples/ta-cooperation/demo${extname(here)}`, import.meta.url),
);

/** Three parts of base64url, the last one no shorter than a signature. */
const WHOLE_JWT = /[\w-]{16,}\.[\w-]{16,}\.[\w-]{64,}/;

/** Tokens, codes and sessions: 30 characters of base64url. */
const SECRET = /(?<![\w./:-])[\w-]{30}(?![\w-])/;

/** A run of the demo; killed when its test is over. */
class DemoProcess {
  readonly child: ChildProcess;
  readonly #heard = new Changes();
  readonly #ended: Promise<number | null>;
  stdout = "";
  stderr = "";

  constructor(t: TestContext, words: readonly string[]) {
    this.child = spawn(process.execPath, [program, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#heard.tell();
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.#ended = once(this.child, "close").then(([code]) => code as number | null);
    t.after(() => {
      this.child.kill("SIGKILL");
      return this.#ended;
    });
  }

  /** The exit code. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  said(text: string): Promise<void> {
    return this.#heard.until(() => this.stdout.includes(text), text);
  }
}

test("demo: --once shows each call with its decoded JWTs and exits with 0", async (t) => {
  const run = new DemoProcess(t, ["--once"]);
  assert.equal(await run.ended(), 0, run.stderr);
  assert.equal(run.stdout.match(/^== \d\. /gm)?.length, 4);
  assert.equal(run.stdout.match(/^ {3}as expected$/gm)?.length, 4);
  for (const decoded of [
    'claims {"inviter":{"at_tag":"kQ7mZp3xLa"},"observer":{"iss":"https://idp-b.example","sub":"u-2002"}}',
    '"related_users":{"observer":"ovp3banffboIq7zeLboYLw"},"hash_alg":"SHA256"}',
    '"ids":{"observer":{"sub":"u-2002"}}}',
    "X-Edo-Cooperation-Error: invalid session",
  ]) {
    assert.ok(run.stdout.includes(decoded), decoded);
  }
  assert.doesNotMatch(run.stdout, WHOLE_JWT);
});

test("demo: --once --json is one document that says the same", async (t) => {
  const run = new DemoProcess(t, ["--once", "--json"]);
  assert.equal(await run.ended(), 0, run.stderr);
  const { ok, calls } = JSON.parse(run.stdout) as { ok: boolean; calls: Chapter[] };
  assert.equal(ok, true);
  assert.deepEqual(
    calls.map(({ faults }) => faults),
    [[], [], [], []],
  );
  const [, withSession] = calls;
  assert.equal(withSession?.messages.length, 4);
  assert.doesNotMatch(run.stdout, WHOLE_JWT);
});

test("demo: --help exits with 0, an unknown flag with 1", async (t) => {
  const help = new DemoProcess(t, ["--help"]);
  assert.equal(await help.ended(), 0);
  assert.match(help.stdout, /^Usage: npm run demo:access-proxy/);
  const unknown = new DemoProcess(t, ["--twice"]);
  assert.equal(await unknown.ended(), 1);
  assert.match(unknown.stderr, /--twice[\s\S]*Usage:/);
  assert.equal(unknown.stdout, "");
});

test("demo: without --once it stays up, takes the calls it prints, and ends with a signal", async (t) => {
  const run = new DemoProcess(t, []);
  await run.said("Ctrl+C ends it.");
  const curls = run.stdout.slice(run.stdout.indexOf("Everything is up"));
  const calls = [...curls.matchAll(/curl -i ((?:[^\n]|\\\n)*?) (http:\S+)$/gm)];
  assert.equal(calls.length, 2);
  for (const [, words = "", url = ""] of calls) {
    const headers = [...words.matchAll(/-H '([^:]+): ([^']+)'/g)].map(
      ([, name = "", value = ""]) => [name, value] as [string, string],
    );
    assert.equal(headers.length, 3);
    assert.equal((await fetch(url, { headers })).status, 200);
  }
  const bare = /curl -i (http:\S+)\n/.exec(curls)?.[1] ?? "";
  assert.equal((await fetch(bare)).status, 403);
  run.child.kill("SIGTERM");
  assert.equal(await run.ended(), 0, run.stderr);
});

test("demo: a call that does not go as it should is told, and the tour is not well", async (t) => {
  const demo = await Demo.start();
  t.after(() => demo.stack.close());
  demo.stack.idpA.directory.withdrawConsent(ALICE, TO_TA);
  const chapters: Chapter[] = [];
  assert.equal(await demo.tour((chapter) => void chapters.push(chapter)), false);
  const texts = chapters.map((chapter, index) => chapterText(index + 1, chapter));
  assert.match(texts[0] ?? "", /NOT: the answer is 403 .*has not consented/);
});

test("demo: nothing that it tells has the user's access token, or a code, or a session", async (t) => {
  const demo = await Demo.start();
  t.after(() => demo.stack.close());
  let told = "";
  const isWell = await demo.tour((chapter) => {
    told += chapterText(1, chapter) + JSON.stringify(chapter);
  });
  assert.equal(isWell, true);
  assert.ok(!told.includes(demo.stack.accessToken));
  assert.match(`Edo-Cooperation=${demo.stack.accessToken};`, SECRET);
  assert.doesNotMatch(told, SECRET);
});
