import assert from "node:assert/strict";
import test from "node:test";
import { KeySet } from "../../../../src/api/oidc/key-set.ts";
import { makeKey, publicKeys, type SigningKey, sign } from "../../../support/oidc/keys.ts";
import { TestTime } from "../../../support/oidc/ports.ts";

const known = makeKey("ES256");
const unknown = makeKey("ES256");

/** A set whose fetches are counted. */
function counted(published: () => SigningKey[] = () => [known]): {
  keys: KeySet;
  time: TestTime;
  fetches: () => number;
} {
  const time = new TestTime();
  let fetches = 0;
  const keys = new KeySet(async () => {
    fetches += 1;
    return publicKeys(published());
  }, time);
  return { keys, time, fetches: () => fetches };
}

test("keys: tokens with unknown kids, one after the other, cause one more fetch in 5 s", async () => {
  const { keys, time, fetches } = counted();
  const token = await sign({}, unknown);
  for (let count = 0; count < 50; count++) await assert.rejects(() => keys.verify(token, {}));
  assert.equal(fetches(), 2);
  time.advance(4_999);
  await assert.rejects(() => keys.verify(token, {}));
  assert.equal(fetches(), 2);
  time.advance(1);
  await assert.rejects(() => keys.verify(token, {}));
  assert.equal(fetches(), 3);
});

test("keys: tokens with known kids go on while unknown ones are refused", async () => {
  const { keys } = counted();
  const good = await sign({ sub: "a" }, known);
  await assert.rejects(async () => keys.verify(await sign({}, unknown), {}));
  assert.equal((await keys.verify(good, {})).payload.sub, "a");
});

test("keys: one fetch serves all who wait for it", async () => {
  let published = [known];
  const { keys, fetches } = counted(() => published);
  await keys.verify(await sign({}, known), {});
  published = [unknown];
  const token = await sign({}, unknown);
  await Promise.all(Array.from({ length: 20 }, () => keys.verify(token, {})));
  assert.equal(fetches(), 2);
});

test("keys: after a fetch that failed the next one waits 5 s", async () => {
  const time = new TestTime();
  let fetches = 0;
  const keys = new KeySet(async () => {
    fetches += 1;
    throw new Error("down");
  }, time);
  const token = await sign({}, known);
  for (let count = 0; count < 5; count++)
    await assert.rejects(() => keys.verify(token, {}), /down/);
  assert.equal(fetches, 1);
  time.advance(5_000);
  await assert.rejects(() => keys.verify(token, {}), /down/);
  assert.equal(fetches, 2);
});
