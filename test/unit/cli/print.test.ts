import assert from "node:assert/strict";
import test from "node:test";
import { opener } from "../../../src/cli/open-browser.ts";
import { cell, facts, printable, table } from "../../../src/cli/print.ts";

test("print: columns line up by characters, and nothing trails", () => {
  assert.equal(
    table(
      ["ID", "NAME", "X"],
      [
        ["a", "über 🚀", null],
        ["long one", "b", 3],
      ],
    ),
    "ID        NAME    X\na         über 🚀  -\nlong one  b       3\n",
  );
  assert.equal(
    facts([
      ["id", "a"],
      ["tags", ["x", "y"]],
      ["none", null],
    ]),
    "id    a\ntags  x,y\nnone  -\n",
  );
});

test("print: text of others stays on its line and steers nothing", () => {
  assert.equal(printable("a\u001b[31m\r\nb\u202ec\u2028d"), "a [31m b c d");
  assert.equal(cell(["a\nb", "c"]), "a b,c");
  assert.equal(cell([]), "-");
  assert.equal(cell(false), "false");
});

test("open browser: only where there is a desktop, and by the system's own program", () => {
  assert.equal(opener("linux", {}), null);
  assert.equal(opener("linux", { DISPLAY: "", WAYLAND_DISPLAY: "" }), null);
  assert.deepEqual(opener("linux", { WAYLAND_DISPLAY: "wayland-0" }), ["xdg-open"]);
  assert.deepEqual(opener("darwin", {}), ["open"]);
  assert.deepEqual(opener("win32", {}), ["rundll32", "url.dll,FileProtocolHandler"]);
});
