/**
 * TA cooperation, step by step: `npm run demo:access-proxy -- [--once] [--json]`. Starts two ID providers, a receiving TA and an
 * access proxy on loopback and makes four calls through them. Exits with 1 where a call does not go as it should.
 */
import { parseArgs } from "node:util";
import { writeUnsignedJwt } from "../../src/access-proxy/index.ts";
import { type Chapter, chapterText } from "./demo/story.ts";
import { Demo } from "./demo/tour.ts";
import { AT_TAG, BOB, IDP_B, type Stack, TO_TA } from "./stack.ts";

const HELP = `Usage: npm run demo:access-proxy -- [options]

Shows TA cooperation over two ID providers, a receiving TA and the access proxy, all on loopback.

Options:
  --once   make the calls, print them and exit: 0 where all went as it should, else 1
  --json   print one JSON document in place of text
  --help   print this

Without --once everything stays up, with lines for curl to try, until Ctrl+C.
`;

function readFlags(): { once: boolean; json: boolean; help: boolean } | null {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    return { once: values.once, json: values.json, help: values.help };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    return null;
  }
}

function curlLines({ proxyUrl, receiver }: Stack): string {
  const one = writeUnsignedJwt({ reader: { at_tag: AT_TAG } });
  const two = writeUnsignedJwt({
    inviter: { at_tag: AT_TAG },
    observer: { iss: IDP_B, sub: BOB },
  });
  const line = (path: string, users: string): string =>
    `  curl -i -H 'X-Access-Proxy-To: ${receiver.url}${path}' -H 'X-Access-Proxy-To-Id: ${TO_TA}' \\\n` +
    `    -H 'X-Access-Proxy-Users: ${users}' ${proxyUrl}\n`;
  return [
    "Everything is up. One user, over the session that there is:\n",
    line("/api/reader/profile", one),
    "Two users on two ID providers:\n",
    line("/api/invite", two),
    "Past the proxy, with nothing to show for it: 403, no code tokens:\n",
    `  curl -i ${receiver.url}/api/reader/profile\n`,
    "Ctrl+C ends it.\n",
  ].join("\n");
}

async function run({ once, json }: { once: boolean; json: boolean }): Promise<number> {
  const demo = await Demo.start();
  const chapters: Chapter[] = [];
  try {
    const isWell = await demo.tour((chapter) => {
      chapters.push(chapter);
      if (!json) process.stdout.write(chapterText(chapters.length, chapter));
    });
    const { proxyUrl, receiver } = demo.stack;
    if (json) {
      const urls = { proxy_url: proxyUrl, target_url: receiver.url };
      process.stdout.write(`${JSON.stringify({ ok: isWell, ...urls, calls: chapters })}\n`);
    }
    if (!once) {
      if (!json) process.stdout.write(curlLines(demo.stack));
      await new Promise<void>((resolve) => {
        for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
      });
    }
    return isWell ? 0 : 1;
  } finally {
    await demo.stack.close();
  }
}

const flags = readFlags();
if (flags === null) process.exitCode = 1;
else if (flags.help) process.stdout.write(HELP);
else process.exitCode = await run(flags);
