import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { describe, it } from "node:test";
import { csrfFault, isForeignRead, isSafe } from "../../../src/api/csrf.ts";

const OWN = "https://api.test";
const SPA = "https://spa.test";
const origins = { own: OWN, others: new Set([SPA]) };

/** A request as far as the rule looks at it. */
function request(headers: Record<string, string | undefined>): IncomingMessage {
  const sent = Object.entries(headers).filter(([, value]) => value !== undefined);
  return { headers: Object.fromEntries(sent) } as unknown as IncomingMessage;
}

const HEADERS = [undefined, "", "0", "1"] as const;
const ORIGINS = [undefined, OWN, SPA, "null", "https://evil.test", `${OWN}.evil.test`] as const;
const SITES = [undefined, "same-origin", "none", "same-site", "cross-site"] as const;
const BODIES = [
  undefined,
  "application/json",
  "Application/JSON; charset=utf-8",
  "text/plain",
] as const;

describe("csrfFault", () => {
  for (const header of HEADERS) {
    for (const origin of ORIGINS) {
      for (const site of SITES) {
        for (const body of BODIES) {
          const isGood =
            header === "1" &&
            (origin === undefined || origin === OWN || origin === SPA) &&
            (site === undefined || site === "same-origin" || site === "none" || origin === SPA) &&
            body !== "text/plain";
          it(`${isGood ? "passes" : "stops"} ${header} ${origin} ${site} ${body}`, () => {
            const fault = csrfFault(
              request({
                "x-hawser-csrf": header,
                origin,
                "sec-fetch-site": site,
                "content-type": body,
                "content-length": body === undefined ? "0" : "2",
              }),
              origins,
              ["application/json"],
            );
            assert.equal(fault === null, isGood, String(fault));
          });
        }
      }
    }
  }

  it("a body without a type, and one whose length is not told, are bodies", () => {
    const marked = { "x-hawser-csrf": "1" };
    const types = ["application/json"];
    assert.equal(
      csrfFault(request({ ...marked, "content-length": "1" }), origins, types),
      "media_type",
    );
    const chunked = request({ ...marked, "transfer-encoding": "chunked" });
    assert.equal(csrfFault(chunked, origins, types), "media_type");
  });

  it("a type that the route lists is taken", () => {
    const headers = { "x-hawser-csrf": "1", "content-length": "1", "content-type": "image/png" };
    assert.equal(csrfFault(request(headers), origins, ["image/png"]), null);
  });

  it("safe methods are three", () => {
    const safe = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "get"].filter(isSafe);
    assert.deepEqual(safe, ["GET", "HEAD", "OPTIONS"]);
  });
});

describe("isForeignRead", () => {
  for (const [site, dest, origin, foreign] of [
    [undefined, undefined, undefined, false],
    ["same-origin", "empty", undefined, false],
    ["none", "document", undefined, false],
    ["same-site", "empty", undefined, false],
    ["cross-site", "empty", undefined, true],
    ["cross-site", "document", undefined, true],
    ["cross-site", "empty", "https://evil.test", true],
    ["cross-site", "empty", SPA, false],
    ["cross-site", "script", SPA, true],
    ["same-origin", "script", undefined, true],
    ["same-origin", "image", undefined, true],
    ["same-origin", "style", undefined, true],
    ["same-origin", "object", undefined, true],
  ] as const) {
    it(`${site} ${dest} ${origin} is ${foreign ? "refused" : "read"}`, () => {
      const headers = { "sec-fetch-site": site, "sec-fetch-dest": dest, origin };
      assert.equal(isForeignRead(request(headers), origins), foreign);
    });
  }
});
