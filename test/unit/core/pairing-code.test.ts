import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  mintPairingCode,
  normalisePairingCode,
  PAIRING_CODE_TEXT_MAX,
  pairingCodeDigest,
} from "../../../src/core/pairing-code.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

test("pairing code: is hwp_ and 26 digits of Crockford's base32, in its one spelling", () => {
  const code = mintPairingCode();
  assert.match(code.text, /^hwp_[0-9A-HJKMNP-TV-Z]{26}$/);
  assert.equal(normalisePairingCode(code.text), code.text);
  assert.equal(code.digest, pairingCodeDigest(code.text));
  assert.equal(code.prefix, code.text.slice(0, 8));
});

test("pairing code: the digest is SHA-256 of the normalised text", () => {
  // Python: hashlib.sha256(b"hwp_" + b"0" * 26).hexdigest()
  const expected = "9311efe72a04918d8bc0e0aa47427d24b5868a5058860e826ebba45840d83efe";
  assert.equal(pairingCodeDigest(`hwp_${"0".repeat(26)}`), expected);
});

test("pairing code: every digit is as likely as any other, at every place", () => {
  const codes = 2_000;
  const counts = new Map<string, number>();
  const places = Array.from({ length: 26 }, () => new Set<string>());
  for (let count = 0; count < codes; count++) {
    for (const [place, digit] of [...mintPairingCode().text.slice(4)].entries()) {
      counts.set(digit, (counts.get(digit) ?? 0) + 1);
      places[place]?.add(digit);
    }
  }
  assert.deepEqual([...counts.keys()].sort(), [...ALPHABET]);
  const expected = (codes * 26) / 32;
  const chiSquared = [...counts.values()].reduce(
    (sum, count) => sum + (count - expected) ** 2 / expected,
    0,
  );
  // 31 degrees of freedom: 90 is passed by chance once in some ten million runs.
  assert.ok(chiSquared < 90, String(chiSquared));
  for (const seen of places) assert.equal(seen.size, 32);
});

for (const [spelling, digits] of [
  ["hwp_abcdefghjkmnpqrstvwxyz0123", "ABCDEFGHJKMNPQRSTVWXYZ0123"],
  ["HWP_ABCDEFGHJKMNPQRSTVWXYZ0123", "ABCDEFGHJKMNPQRSTVWXYZ0123"],
  [" hwp_ABCDE-FGHJK-MNPQR-STVWX-YZ012-3\n", "ABCDEFGHJKMNPQRSTVWXYZ0123"],
  ["h w p _ABCDE FGHJK MNPQR STVWX YZ012 3", "ABCDEFGHJKMNPQRSTVWXYZ0123"],
  [`hwp_${"iIlL1oO0".repeat(3)}il`, `${"11111000".repeat(3)}11`],
] as const) {
  test(`pairing code: ${JSON.stringify(spelling)} is read`, () => {
    assert.equal(normalisePairingCode(spelling), `hwp_${digits}`);
  });
}

for (const text of [
  "",
  "hwp_",
  `${"0".repeat(26)}`,
  `hwp_${"0".repeat(25)}`,
  `hwp_${"0".repeat(27)}`,
  `hwp_${"0".repeat(25)}U`,
  `hwp_${"0".repeat(25)}*`,
  `hwp_${"0".repeat(25)}\u0131`,
  `hwp_${"0".repeat(25)}\uff10`,
  `hwe_${"0".repeat(26)}`,
  `hwp${"0".repeat(26)}`,
  `hwp_${"0".repeat(26)}${"-".repeat(PAIRING_CODE_TEXT_MAX)}`,
]) {
  test(`pairing code: ${JSON.stringify(text.slice(0, 40))} (${text.length}) is none`, () => {
    assert.equal(normalisePairingCode(text), null);
  });
}

test("pairing code: a text at the longest length is looked at", () => {
  const text = `hwp_${"0".repeat(26)}`.padEnd(PAIRING_CODE_TEXT_MAX, "-");
  assert.equal(normalisePairingCode(text), `hwp_${"0".repeat(26)}`);
});

test("pairing code: every way to write one comes to the same", () => {
  const digit = fc.constantFrom(...ALPHABET);
  fc.assert(
    fc.property(
      fc.array(digit, { minLength: 26, maxLength: 26 }),
      fc.array(fc.tuple(fc.boolean(), fc.constantFrom("", "-", " ")), {
        minLength: 26,
        maxLength: 26,
      }),
      (digits, styles) => {
        const spelled = digits.map((each, at) => {
          const [lower, before] = styles[at] ?? [false, ""];
          const letter = each === "1" && lower ? "l" : each === "0" && lower ? "o" : each;
          return before + (lower ? letter.toLowerCase() : letter);
        });
        assert.equal(normalisePairingCode(`hwp_${spelled.join("")}`), `hwp_${digits.join("")}`);
      },
    ),
  );
});

test("pairing code: any text is read or refused, and what is read is its own spelling", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `hwp_${text}`),
      ),
      (text) => {
        const normal = normalisePairingCode(text);
        if (normal !== null) assert.equal(normalisePairingCode(normal), normal);
      },
    ),
  );
});
