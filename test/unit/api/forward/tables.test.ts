import assert from "node:assert/strict";
import { test } from "node:test";
import { answerNames, NameRule, requestNames } from "../../../../src/api/forward/field-names.ts";
import { ForwardLimits } from "../../../../src/api/forward/limits.ts";

test("field names: all spellings of a name are one, whatever a server makes of them", () => {
  for (const name of [
    "X-Hawser-User",
    "x_hawser_user",
    "X.HAWSER.USER",
    "x-Hawser_user",
    "x-hawser",
  ]) {
    assert.equal(requestNames.passes(name), false, name);
    assert.equal(answerNames.passes(name), false, name);
  }
  for (const name of ["X-Hawserlike", "Proxied", "Accept", "X-Own", "Content-Type", "Range"]) {
    assert.equal(requestNames.passes(name), true, name);
  }
  for (const name of [
    "Set_Cookie",
    "Access_Control_Allow_Origin",
    "Edge-CDN-Cache-Control",
    "RateLimit-Remaining",
  ]) {
    assert.equal(answerNames.passes(name), false, name);
  }
  for (const name of ["ETag", "Content-Range", "Last-Modified", "X-Own", "Via"]) {
    assert.equal(answerNames.passes(name), true, name);
  }
});

test("field names: as many are remembered as may be, and the rule holds beyond that", () => {
  let asked = 0;
  const rule = new NameRule((name) => {
    asked += 1;
    return name !== "no";
  });
  for (let count = 0; count < 2; count++) assert.equal(rule.passes("NO"), false);
  assert.equal(asked, 1);
  for (let count = 0; count < 1_000; count++) rule.passes(`x-${count}`);
  assert.equal(rule.passes("NO"), false);
  assert.equal(asked, 1_002);
});

test("limits: a tenant's end leaves room to others, and what leaves makes room again", () => {
  const limits = new ForwardLimits(3, 2);
  const first = limits.enter("a");
  const left = [limits.enter("a")];
  assert.throws(() => limits.enter("a"), { code: "forward_limited" });
  left.push(limits.enter("b"));
  assert.throws(() => limits.enter("c"), { code: "forward_overloaded" });
  limits.leave(first);
  left.push(limits.enter("c"));
  assert.throws(() => limits.enter("a"), { code: "forward_overloaded" });
  for (const entered of left) limits.leave(entered);
  assert.equal(limits.running, 0);
  for (const entered of [limits.enter("a"), limits.enter("a")]) limits.leave(entered);
});

test("limits: tenants without requests are forgotten when there are too many, those with requests never", () => {
  const limits = new ForwardLimits(3, 1);
  const stays = limits.enter("stays");
  for (let count = 0; count < 10_000; count++) {
    limits.leave(limits.enter(`tenant ${count}`));
    assert.ok(limits.tenants <= 3 + 1_024);
  }
  assert.throws(() => limits.enter("stays"), { code: "forward_limited" });
  limits.leave(stays);
  assert.equal(limits.running, 0);
});
