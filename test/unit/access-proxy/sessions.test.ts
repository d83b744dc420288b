import assert from "node:assert/strict";
import { test } from "node:test";
import { MemorySessions } from "../../../src/access-proxy/memory-sessions.ts";
import { type SessionScope, sessionKey } from "../../../src/access-proxy/session-key.ts";

const SCOPE: SessionScope = {
  selfId: "https://from.example",
  callerScope: "",
  toTaId: "https://to.example",
  targetOrigin: "https://to.example",
  accounts: { principal: { tag: "me", atTag: "t" }, related: [] },
};

test("session key: SHA-256 over the scope and the accounts by their tags", async () => {
  const { createHash } = await import("node:crypto");
  const text =
    '["https://from.example","","https://to.example","https://to.example",[["me","at","t"],["you","id","i","s"]]]';
  const you = { tag: "you", iss: "i", sub: "s" };
  const accounts = { ...SCOPE.accounts, related: [you] };
  assert.equal(sessionKey({ ...SCOPE, accounts }), createHash("sha256").update(text).digest("hex"));
});

test("session key: another caller, target, token or account has another; the order of accounts does not count", () => {
  const a = { tag: "a", iss: "i", sub: "1" };
  const b = { tag: "b", iss: "i", sub: "2" };
  const { principal } = SCOPE.accounts;
  const keys = [
    SCOPE,
    { ...SCOPE, selfId: "x" },
    { ...SCOPE, callerScope: "x" },
    { ...SCOPE, toTaId: "x" },
    { ...SCOPE, targetOrigin: "x" },
    { ...SCOPE, accounts: { principal: { ...principal, tag: "x" }, related: [] } },
    { ...SCOPE, accounts: { principal: { ...principal, atTag: "x" }, related: [] } },
    { ...SCOPE, accounts: { principal, related: [a] } },
    { ...SCOPE, accounts: { principal, related: [a, b] } },
  ].map(sessionKey);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(sessionKey({ ...SCOPE, accounts: { principal, related: [b, a] } }), keys.at(-1));
});

test("sessions in memory: the one that lasts longer stays, whichever came last", () => {
  const sessions = new MemorySessions({ wallNow: () => 0 });
  sessions.save("k", { id: "long", expiresAt: 200 }, 200);
  sessions.save("k", { id: "short", expiresAt: 100 }, 100);
  assert.equal(sessions.get("k")?.id, "long");
  sessions.save("k", { id: "longer", expiresAt: 201 }, 201);
  assert.equal(sessions.get("k")?.id, "longer");
});

test("sessions in memory: one is deleted as long as it is the one that is meant", () => {
  const sessions = new MemorySessions({ wallNow: () => 0 });
  sessions.save("k", { id: "new", expiresAt: 100 }, 100);
  sessions.deleteIf("k", "old");
  assert.equal(sessions.get("k")?.id, "new");
  sessions.deleteIf("k", "new");
  assert.equal(sessions.get("k"), undefined);
  sessions.save("k", { id: "new", expiresAt: 100 }, 100);
  sessions.delete("k");
  assert.equal(sessions.get("k"), undefined);
});

test("sessions in memory: none is kept beyond its time, nor holds the place of a later one", () => {
  let now = 0;
  const sessions = new MemorySessions({ wallNow: () => now });
  sessions.save("k", { id: "a", expiresAt: 1_000 }, 100);
  now = 100;
  sessions.save("k", { id: "b", expiresAt: 500 }, 500);
  assert.equal(sessions.get("k")?.id, "b");
  now = 500;
  assert.equal(sessions.get("k"), undefined);
  assert.equal(sessions.size, 0);
});

test("sessions in memory: at the limit the one saved longest ago makes room", () => {
  const sessions = new MemorySessions({ sessionsMax: 2, wallNow: () => 0 });
  for (const key of ["a", "b", "a", "c"]) sessions.save(key, { id: key, expiresAt: 9 }, 9);
  assert.deepEqual(
    [sessions.get("a")?.id, sessions.get("b")?.id, sessions.get("c")?.id],
    ["a", undefined, "c"],
  );
});
