import assert from "node:assert/strict";
import { test } from "node:test";
import {
  readCookieDate,
  readGrantedSession,
  withoutCookie,
} from "../../../src/access-proxy/cookies.ts";

const NOW = Date.UTC(2026, 0, 1);
const LABEL = "Edo-Cooperation";
const granted = (text: string) => readGrantedSession(text, LABEL, NOW);

test("session cookie: Max-Age comes before Expires, in whatever order they stand", () => {
  const expires = "Expires=Thu, 01 Jan 2026 01:00:00 GMT";
  assert.deepEqual(granted(`${LABEL}=abc; Path=/; ${expires}; HttpOnly; Secure`), {
    id: "abc",
    expiresAt: NOW + 3_600_000,
  });
  for (const attributes of [`Max-Age=60; ${expires}`, `${expires}; max-age=60`]) {
    assert.equal(granted(`${LABEL}=abc; ${attributes}`)?.expiresAt, NOW + 60_000);
  }
});

test("session cookie: the last attribute of a name counts, and what cannot be read does not", () => {
  assert.equal(granted(`${LABEL}=a; Max-Age=5; Max-Age=60`)?.expiresAt, NOW + 60_000);
  assert.equal(granted(`${LABEL}=a; Max-Age=60; Max-Age=x`)?.expiresAt, NOW + 60_000);
  assert.equal(granted(`${LABEL}=a; Max-Age=99999999999`)?.expiresAt, NOW + 400 * 86_400_000);
});

test("session cookie: one that is over ends the session", () => {
  for (const over of ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"]) {
    assert.ok((granted(`${LABEL}=; ${over}`)?.expiresAt ?? NOW + 1) <= NOW, over);
  }
});

test("session cookie: another name, no end, or a value that no field may hold is none", () => {
  for (const text of [
    `${LABEL}=abc`,
    `${LABEL}=abc; Path=/`,
    `${LABEL}=abc; Expires=tomorrow`,
    `edo-cooperation=abc; Max-Age=60`,
    `X${LABEL}=abc; Max-Age=60`,
    `${LABEL}; Max-Age=60`,
    `${LABEL}=; Max-Age=60`,
    `${LABEL}=a b; Max-Age=60`,
    `${LABEL}=a"b; Max-Age=60`,
    `${LABEL}=é; Max-Age=60`,
    `${LABEL}=${"x".repeat(4_097)}; Max-Age=60`,
  ]) {
    assert.equal(granted(text), null, text);
  }
  assert.equal(granted(`${LABEL}=${"x".repeat(4_096)}; Max-Age=60`)?.id.length, 4_096);
});

test("cookie date: the forms that are in use, and what is none", () => {
  const at = Date.UTC(1994, 10, 6, 8, 49, 37);
  for (const text of [
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "06 nov 1994 8:49:37",
  ]) {
    assert.equal(readCookieDate(text), at, text);
  }
  for (const text of [
    "",
    "Sun, 06 Nov 1994",
    "31 Feb 2026 00:00:00",
    "1 Jan 1600 00:00:00",
    "1 Jan 2026 24:00:00",
  ]) {
    assert.equal(readCookieDate(text), null, text);
  }
});

const WITHOUT: ReadonlyArray<readonly [before: string, after: string]> = [
  ["theme=dark", "theme=dark"],
  [`${LABEL}=x`, ""],
  [`theme=dark; ${LABEL}=x`, "theme=dark"],
  [`${LABEL}=x; theme=dark`, "theme=dark"],
  [`a=1;${LABEL}=x;b=2`, "a=1;b=2"],
  [`a="q; r";  b=2; ${LABEL}=x; ${LABEL}=y`, 'a="q; r";  b=2'],
  [`not${LABEL}=x; ${LABEL}not=y`, `not${LABEL}=x; ${LABEL}not=y`],
  [`a=${LABEL}`, `a=${LABEL}`],
  [` ${LABEL} =x; a=1`, "a=1"],
];

for (const [before, after] of WITHOUT) {
  test(`cookies: "${before}" without the session is "${after}"`, () => {
    assert.equal(withoutCookie(before, LABEL), after);
  });
}
