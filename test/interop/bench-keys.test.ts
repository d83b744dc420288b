import assert from "node:assert/strict";
import { test } from "node:test";
import { startAuthorizer } from "../../bench/support/authorizer.ts";
import { makeFleet } from "../../bench/support/fleet.ts";
import { startKeyedRelay } from "../../bench/support/keys.ts";
import { prepareTools } from "../../bench/support/tools.ts";
import type { AuthorizeAnswer } from "../../src/core/contract.ts";
import { mintToken } from "../../src/core/token.ts";
import { skipWithout } from "../support/go.ts";
import { temporaryFolder } from "../support/relay/start-relay.ts";

/** The bench of many keys, so small that its figures say nothing: that it still runs, and every answer is right. */

test("one key and many are loaded in turn", {
  skip: skipWithout("go", "gcc", "wrk"),
  timeout: 55_000,
}, async (t) => {
  const relay = await startKeyedRelay(await prepareTools(), 600);
  t.after(() => relay.stop());
  const notes: string[] = [];
  const note = (text: string): number => notes.push(text);
  const { oneUs, manyUs, ratio } = await relay.measure({ rounds: 1, seconds: 1, note });
  assert.deepEqual(notes, []);
  assert.ok(oneUs > 0 && manyUs > 0, `${oneUs} and ${manyUs} µs`);
  assert.equal(ratio, manyUs / oneUs);
});

test("what the relay asks calls all good that it made, tokens and keys, and nothing else", async (t) => {
  const fleet = makeFleet(await temporaryFolder(t), "keys", 1);
  const [known, stranger] = [mintToken("key"), mintToken("key")];
  const authorizer = await startAuthorizer(fleet, new Map([[known.ref, known.secretDigest]]));
  t.after(() => authorizer.close());
  const [token] = fleet.tokens.keys();
  assert.ok(token !== undefined);
  const check = (key: typeof known): object => ({ ref: key.ref, digest: key.secretDigest });
  const response = await fetch(`${authorizer.url}/internal/authorize`, {
    method: "POST",
    body: JSON.stringify({
      tokens: [],
      keys: [check(known), check(stranger)],
      devices: [],
      recheck: [token, known.ref, stranger.ref],
    }),
  });
  const { keys, revoked } = (await response.json()) as AuthorizeAnswer;
  assert.deepEqual(
    keys.map(({ ok }) => ok),
    [true, false],
  );
  assert.deepEqual(revoked, [stranger.ref]);
});
