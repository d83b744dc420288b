/** The command line against a whole API server and a real identity provider. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { pino } from "pino";
import { startApi } from "../../../src/api/app.ts";
import { AUTH_DEFAULTS } from "../../../src/api/auth/index.ts";
import { DEVICE_DEFAULTS } from "../../../src/api/devices/index.ts";
import { API_DEFAULTS } from "../../../src/api/index.ts";
import { checkOidcOptions } from "../../../src/api/oidc/index.ts";
import { keyRing } from "../../support/api/auth-rig.ts";
import { Browser } from "../../support/api/browser.ts";
import { CliProcess, type Finished, runCli } from "../../support/cli.ts";
import { startRealIdp, UserAgent } from "../../support/oidc/real-idp.ts";
import { BASE_URL, CLIENT_SECRET } from "../../support/oidc/rig.ts";

interface World {
  readonly folder: string;
  readonly api: string;
  /** Answers the page of a command that waits, signing in at the provider first where the server wants that. */
  allow(command: CliProcess): Promise<void>;
  hawser(...words: string[]): Promise<Finished>;
  readonly home: Record<string, string>;
}

async function world(t: TestContext): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), "hawser-end-to-end-"));
  const idp = await startRealIdp(t);
  const app = await startApi(
    {
      http: { ...API_DEFAULTS, listenHost: "127.0.0.1", listenPort: 0, publicBaseUrl: BASE_URL },
      internal: { listenHost: "127.0.0.1", listenPort: 0, secret: "s".repeat(32) },
      databaseUrl: `sqlite:${join(folder, "hawser.db")}`,
      relayUrl: "http://127.0.0.1:9",
      oidc: checkOidcOptions({
        publicBaseUrl: BASE_URL,
        oidcIssuer: idp.issuer,
        oidcAllowInsecure: true,
        oidcClientId: "confidential",
        oidcClientAuth: "client_secret_basic",
        oidcClientSecret: CLIENT_SECRET,
      }),
      auth: { ...AUTH_DEFAULTS, sessionSecrets: keyRing("k1"), tokenEncKeys: keyRing("e1") },
      devices: { ...DEVICE_DEFAULTS, tunnelUrl: "ws://127.0.0.1:9", edgeUrl: "http://127.0.0.1:9" },
      auditLog: null,
    },
    { logger: pino({ level: "silent" }) },
  );
  t.after(async () => {
    await app.close();
    await rm(folder, { recursive: true, force: true });
  });
  const browser = new Browser(new Map([[new URL(BASE_URL).origin, app.port]]));
  const agent = new UserAgent(idp.issuer);
  const api = `http://127.0.0.1:${app.port}`;
  const home = { HOME: folder, XDG_CONFIG_HOME: folder, DISPLAY: "", WAYLAND_DISPLAY: "" };
  return {
    folder,
    api,
    home,
    hawser: (...words) => runCli(t, words, home),
    async allow(command) {
      const [, asked = ""] = await command.told(/^ {2}http:\/\/[^/]+(\/cli-login\?\S+)$/m);
      let page = await browser.step(BASE_URL + asked);
      if (page.status === 303) {
        const start = await browser.step(page.headers.location ?? "");
        const callback = await agent.signIn(start.headers.location ?? "", "ada");
        page = await browser.navigate(callback.href, { from: idp.issuer });
      }
      assert.equal(page.status, 200, page.body);
      assert.equal(page.url.pathname, "/cli-login");
      const consent = /name="consent" value="([^"]+)"/.exec(page.body)?.[1] ?? "";
      const fields = { consent, decision: "allow" };
      const answer = await browser.submitStep(`${BASE_URL}/cli-login`, BASE_URL, fields);
      assert.equal(answer.status, 303, answer.body);
      await fetch(answer.headers.location ?? "");
    },
  };
}

test("the command line: sign in at the provider, pair, manage, read the audit log, sign out", async (t) => {
  const { api, allow, hawser, home, folder } = await world(t);
  const login = new CliProcess(t, ["login", "--api", api], home);
  await allow(login);
  const signedIn = await login.finished();
  assert.equal(signedIn.code, 0, signedIn.stderr);
  const { key } = JSON.parse(await readFile(join(folder, "hawser", "credentials.json"), "utf8"))
    .apis[api];
  const json = async (...words: string[]) => {
    const { code, stdout, stderr } = await hawser(...words, "--json");
    assert.equal(code, 0, `${words.join(" ")}\n${stderr}`);
    return JSON.parse(stdout);
  };

  const who = await json("whoami");
  assert.deepEqual([who.kind, who.role, who.user.email], ["key", "admin", "ada@example.org"]);
  const { code } = await json("pair", "create");
  const data = join(folder, "device");
  const words = ["agent", "pair", "--api", api, "--data-dir", data, "--name", "press", "--json"];
  const paired = await runCli(t, words, { ...home, HAWSER_CODE: code });
  assert.equal(paired.code, 0, paired.stderr);
  const { device_id: id } = JSON.parse(paired.stdout);
  assert.equal((await json("pair", "list")).pairing_codes[0].device_id, id);
  assert.equal((await json("devices", "rename", id, "lathe")).name, "lathe");
  assert.deepEqual((await json("devices", "tag", id, "--add", "a", "b")).tags, ["a", "b"]);
  assert.deepEqual((await json("devices", "tag", id, "--remove", "a")).tags, ["b"]);
  const { devices } = await json("devices", "list", "--tag", "b");
  assert.deepEqual([devices.length, devices[0].id, devices[0].name], [1, id, "lathe"]);
  assert.equal((await json("devices", "show", id)).tokens.length, 1);
  const rotated = await json("devices", "rotate", id);
  assert.match(rotated.token, /^vAc_/);
  const { ref } = await json("enrolment", "create", "--name", "batch", "--uses", "2");
  assert.equal((await json("enrolment", "list")).enrolment_keys[0].ref, ref);
  await json("enrolment", "revoke", ref);
  const { keys } = await json("keys", "list");
  assert.deepEqual(
    keys.map((one: { ref: string }) => one.ref),
    [key.slice(0, 12)],
  );
  await json("devices", "revoke", id);
  assert.equal((await json("devices", "show", id)).tokens.length, 0);
  await json("devices", "delete", id);

  const audit = await hawser("audit", "--json", "--since", "1h");
  const events = audit.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).event);
  for (const event of ["key_created", "pairing_created", "pairing_exchanged", "device_deleted"]) {
    assert.ok(events.includes(event), `${event} in ${events.join()}`);
  }
  const created = await hawser("audit", "--event", "key_created", "--object", key.slice(0, 12));
  assert.match(created.stdout, /by=cli_login/);
  assert.ok(!(audit.stdout + created.stdout).includes(key.slice(13)));

  assert.equal((await json("logout")).revoked, true);
  const after = await runCli(t, ["devices", "list", "--json"], {
    ...home,
    HAWSER_API_URL: api,
    HAWSER_API_KEY: key,
  });
  assert.equal(JSON.parse(after.stderr).error.code, "unauthenticated");
});
