import assert from "node:assert/strict";
import { test } from "node:test";
import { AccessProxyError } from "../../../src/access-proxy/errors.ts";
import { readTarget } from "../../../src/access-proxy/target.ts";

const TAKEN: ReadonlyArray<readonly [to: string, href: string, toTaId: string]> = [
  ["https://to.example/a/b?c=1", "https://to.example/a/b?c=1", "https://to.example"],
  ["https://TO.Example:443/#x", "https://to.example/", "https://to.example"],
  ["http://to.example:80", "http://to.example/", "http://to.example"],
  ["https://to.example:8443/x", "https://to.example:8443/x", "https://to.example:8443"],
  ["https://[2001:DB8::1]:99/", "https://[2001:db8::1]:99/", "https://[2001:db8::1]:99"],
  ["https://to.example/a%20b/[x]", "https://to.example/a%20b/[x]", "https://to.example"],
  ["https://to.example/.a/../../b/./c?d", "https://to.example/b/c?d", "https://to.example"],
  ["https://to.example/?u=a@b", "https://to.example/?u=a@b", "https://to.example"],
];

for (const [to, href, toTaId] of TAKEN) {
  test(`target: ${to} is ${href}`, () => {
    const target = readTarget([to], []);
    assert.deepEqual([target.url.href, target.toTaId], [href, toTaId]);
  });
}

test("target: an id that is given wins", () => {
  assert.equal(
    readTarget(["https://a.example/"], ["https://ta.example"]).toTaId,
    "https://ta.example",
  );
  assert.equal(readTarget(["https://a.example/"], [""]).toTaId, "https://a.example");
});

const REFUSED: ReadonlyArray<readonly [what: string, to: string[], toId?: string[]]> = [
  ["two targets", ["https://a.example", "https://a.example"]],
  ["two ids", ["https://a.example"], ["a", "b"]],
  ["a path", ["/api"]],
  ["no scheme", ["to.example/api"]],
  ["no authority", ["https:to.example"]],
  ["a scheme without slashes", ["https:/to.example"]],
  ["another scheme", ["ftp://to.example/"]],
  ["a file", ["file:///etc/passwd"]],
  ["a scheme in disguise", ["javascript://to.example/%0aalert(1)"]],
  ["a user", ["https://user@to.example/"]],
  ["a user and a password", ["https://user:word@to.example/"]],
  ["an empty user", ["https://@to.example/"]],
  ["an empty user and password", ["https://:@to.example/"]],
  ["a backslash", ["https://to.example\\@evil.example/"]],
  ["a tab inside", ["https://to.exam\tple/"]],
  ["a blank before", [" https://to.example/"]],
  ["a port that is none", ["https://to.example:80801234/"]],
  ["a port of letters", ["https://to.example:http/"]],
  ["a host that is none", ["https://to..exam ple/"]],
  ["an address that is none", ["https://1.2.3.4.5/"]],
  ["a character beyond ASCII", ["https://tö.example/"]],
  ["angle brackets", ["https://to.example/<x>"]],
];

for (const [what, to, toId = []] of REFUSED) {
  test(`target: E2 ${what} is refused`, () => {
    assert.throws(
      () => readTarget(to, toId),
      (error) => error instanceof AccessProxyError && error.code === "ERR_ACCESS_PROXY_TARGET",
    );
  });
}

test("target: E1 none, and an empty one", () => {
  for (const to of [[], [""]]) {
    assert.throws(() => readTarget(to, []), { code: "ERR_ACCESS_PROXY_NO_TARGET", status: 400 });
  }
});
