import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { allSettings, loadSettings, settingsOf, variableName } from "../../../src/config/index.ts";
import { ConfigError } from "../../../src/core/errors.ts";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hawser-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function configFile(t: TestContext, content: unknown): string {
  const path = join(folderOf(t), "hawser.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

/** The problems of a configuration, as `setting: problem` lines. */
function problemsOf(work: () => unknown): string[] {
  let problems: string[] = [];
  assert.throws(work, (error) => {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.code, "ERR_CONFIG_INVALID");
    problems = error.problems.map(({ setting, problem }) => `${setting}: ${problem}`);
    return true;
  });
  return problems;
}

test("config load: every default is one that an operator could write", () => {
  const lists = new Set(["trustedProxyCidrs", "corsOrigins", "accessProxyHosts"]);
  for (const [name, setting] of allSettings()) {
    if (setting.default === null || lists.has(name)) continue;
    const { parse, show } = setting.kind;
    assert.deepEqual(parse(show(setting.default)), setting.default, name);
  }
});

test("config load: flag wins over variable, variable over file, file over default", (t) => {
  const config = configFile(t, { listenPort: 1, internalPort: 1, holdQueueMax: 1 });
  const { values, origins } = loadSettings("relay", {
    flags: { config, listenPort: "3" },
    environment: { HAWSER_LISTEN_PORT: "2", HAWSER_INTERNAL_PORT: "2" },
  });
  assert.equal(values.listenPort, 3);
  assert.equal(values.internalPort, 2);
  assert.equal(values.holdQueueMax, 1);
  assert.equal(values.headMax, 32_768);
  assert.equal(origins.get("listenPort"), "flag");
  assert.equal(origins.get("internalPort"), "variable");
  assert.equal(origins.get("holdQueueMax"), "file");
  assert.equal(origins.get("headMax"), "default");
});

test("config load: what does not go together is told with the rest, but not of a broken setting", () => {
  const check = () => [
    { setting: "listenPort", problem: "clashes" },
    { setting: "holdTime", problem: "clashes" },
    { setting: "drainTime", problem: "clashes" },
  ];
  const sources = { flags: { listenPort: "x" }, environment: { HAWSER_HOLD_TIME: "1s" } };
  assert.deepEqual(
    problemsOf(() => loadSettings("relay", sources, check)),
    [
      '--listen-port: wanted a port, 0 to 65535, found "x"',
      "HAWSER_HOLD_TIME: clashes",
      "--drain-time: clashes",
    ],
  );
});

test("config load: a default may differ by command", () => {
  const none = { flags: {}, environment: {} };
  assert.equal(loadSettings("relay", none).values.yamuxRole, "client");
  assert.equal(loadSettings("agent", none).values.yamuxRole, "server");
});

test("config load: a setting is spelled as the operator did, as a flag where nobody did", (t) => {
  const config = configFile(t, { headMax: "64KiB" });
  const environment = { HAWSER_HOLD_TIME: "1s" };
  const loaded = loadSettings("relay", { flags: { config, listenPort: "1" }, environment });
  assert.deepEqual(["listenPort", "holdTime", "headMax", "drainTime", "other"].map(loaded.spell), [
    "--listen-port",
    "HAWSER_HOLD_TIME",
    `headMax in ${config}`,
    "--drain-time",
    "other",
  ]);
});

test("config load: every setting can be given by its variable", (t) => {
  const readable = configFile(t, {});
  for (const [name, setting] of settingsOf("relay")) {
    const shown = setting.default === null ? "" : setting.kind.show(setting.default);
    const samples = [readable, shown, "edge.example.org", "32KiB", "10.0.0.0/8"];
    const input = samples.find((sample) => setting.kind.parse(sample) !== undefined);
    assert.ok(input !== undefined, name);
    const environment = { [variableName(name)]: input };
    assert.equal(
      loadSettings("relay", { flags: {}, environment }).origins.get(name),
      "variable",
      name,
    );
  }
});

test("config load: the file may be named by a variable", (t) => {
  const environment = { HAWSER_CONFIG: configFile(t, { listenPort: 5 }) };
  assert.equal(loadSettings("relay", { flags: {}, environment }).values.listenPort, 5);
});

test("config load: an empty variable is one that is not set", () => {
  const environment = { HAWSER_LISTEN_PORT: "", HAWSER_CONFIG: "" };
  const { origins } = loadSettings("relay", { flags: {}, environment });
  assert.equal(origins.get("listenPort"), "default");
});

test("config load: all problems are told at once, each by the name that was used", (t) => {
  const config = configFile(t, { headMax: "1KiB", colour: "red", logLevel: 3 });
  const problems = problemsOf(() =>
    loadSettings("relay", {
      flags: { config, listenPort: "70000" },
      environment: { HAWSER_HOLD_TIME: "soon", HAWSER_TLS_CERT: join(config, "none.pem") },
    }),
  );
  assert.deepEqual(problems, [
    `"colour" in ${config}: no such setting`,
    '--listen-port: wanted a port, 0 to 65535, found "70000"',
    `HAWSER_TLS_CERT: ${config}/none.pem cannot be read (ENOTDIR)`,
    'HAWSER_HOLD_TIME: wanted a time such as 250ms, 30s or 5m (a plain number is milliseconds), 0 to 5m, found "soon"',
    `headMax in ${config}: wanted a size such as 64KiB or 4MiB (a plain number is bytes), 4KiB to 1MiB, found "1KiB"`,
    `logLevel in ${config}: wanted one of trace, debug, info, warn, error, silent, found 3`,
  ]);
});

test("config load: names of the language are no settings", (t) => {
  const config = configFile(t, '{"__proto__": 1, "constructor": 1, "toString": 1}');
  const problems = problemsOf(() => loadSettings("relay", { flags: { config }, environment: {} }));
  assert.equal(problems.length, 3);
});

test("config load: a file that is missing, no JSON or no object is one clear problem", (t) => {
  const folder = folderOf(t);
  const cases: readonly (readonly [string, RegExp])[] = [
    [join(folder, "none.json"), /none\.json cannot be read \(ENOENT\)$/],
    [folder, /cannot be read \(EISDIR\)$/],
    [configFile(t, "{ listenPort: hunter2 }"), /is not JSON$/],
    [configFile(t, "[]"), /must hold one JSON object$/],
    [configFile(t, "null"), /must hold one JSON object$/],
    [configFile(t, " ".repeat(1_048_577)), /is over 1 MiB$/],
  ];
  for (const [config, expected] of cases) {
    const problems = problemsOf(() =>
      loadSettings("relay", { flags: { config }, environment: {} }),
    );
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", /^--config: /);
    assert.match(problems[0] ?? "", expected);
    assert.doesNotMatch(problems[0] ?? "", /hunter2/);
  }
});

test("config load: a file that a setting names must be readable", (t) => {
  const folder = folderOf(t);
  const missing = join(folder, "none.json");
  const problems = problemsOf(() =>
    loadSettings("relay", {
      flags: { credentials: missing, tlsKey: folder },
      environment: {},
    }),
  );
  assert.deepEqual(problems, [
    `--tls-key: ${folder} is not a file`,
    `--credentials: ${missing} does not exist`,
  ]);
});

test("config load: a secret is taken from its variable alone and never shown", (t) => {
  const secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
  const environment = { HAWSER_INTERNAL_SECRET: secret };
  const loaded = loadSettings("relay", { flags: {}, environment });
  assert.equal(loaded.values.internalSecret, secret);
  const inFlag = problemsOf(() =>
    loadSettings("relay", { flags: { internalSecret: secret }, environment: {} }),
  );
  assert.deepEqual(inFlag, [
    "--internal-secret: a secret in the command line can be read by every user of the machine; use HAWSER_INTERNAL_SECRET or a file of its own",
  ]);
  const config = configFile(t, { internalSecret: secret });
  const inFile = problemsOf(() => loadSettings("relay", { flags: { config }, environment: {} }));
  assert.equal(inFile.length, 1);
  assert.doesNotMatch(inFile.join(), /hunter2/);
  const broken = problemsOf(() =>
    loadSettings("relay", {
      flags: {},
      environment: { HAWSER_INTERNAL_SECRET: `${secret}\u0007` },
    }),
  );
  assert.equal(broken.length, 1);
  assert.doesNotMatch(broken.join(), /hunter2/);
});

test("config load: settings of another command may stand in the file and have no effect", (t) => {
  const config = configFile(t, { headMax: "64KiB", listenPort: 7 });
  const { values, origins } = loadSettings("dev", { flags: { config }, environment: {} });
  assert.equal(values.listenPort, 7);
  assert.equal(origins.get("headMax"), "default");
});

test("config load: an unknown HAWSER_ variable is a warning", () => {
  const environment = { HAWSER_LISTN_PORT: "1", HAWSER_SEED: "1", HAWSER_CONFIG: "", PATH: "/bin" };
  const { warnings } = loadSettings("relay", { flags: {}, environment });
  assert.deepEqual(warnings, [
    "The variable HAWSER_LISTN_PORT is no setting of Hawser and has no effect.",
  ]);
});
