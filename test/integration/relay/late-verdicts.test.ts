import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { mintDeviceId, mintToken } from "../../../src/core/token.ts";
import { RELAY_DEFAULTS, startRelay } from "../../../src/relay/index.ts";
import { SECRET } from "../../support/relay/start-relay.ts";
import { connectDevice } from "../../support/relay/ws-device.ts";
import { until } from "../../support/until.ts";

const DEVICES = 60;
/** Those whose token is revoked in the moment in which the gate has answered for all: the last to be let in. */
const REVOKED = 20;

test("late verdicts: a batch is let in as a whole, but for tokens revoked while they waited for their turn", async (t) => {
  const tokens = Array.from({ length: DEVICES }, () => mintToken("device"));
  const refused = {
    ok: false,
    status: 401,
    code: "ERR_RELAY_UNAUTHORIZED",
    retryAfter: 0,
  } as const;
  const accepted = (tokenRef: string) => {
    return { ok: true, value: { deviceId: mintDeviceId(), tokenRef, userId: "u" } } as const;
  };
  /** In the order of asking: what each waits for. */
  const asked = new Map<string, () => void>();
  let isAnswered = false;
  const refOf = (text: string): string => tokens.find((token) => token.text === text)?.ref ?? "";
  const relay = await startRelay(
    {
      ...RELAY_DEFAULTS,
      listenHost: "127.0.0.1",
      listenPort: 0,
      internalPort: 0,
      internalSecret: SECRET,
    },
    {
      logger: pino({ level: "silent" }),
      tunnelGate: {
        authenticateDevice: (text) => {
          const ref = refOf(text);
          if (isAnswered) {
            const isRevoked = [...asked.keys()].indexOf(ref) >= DEVICES - REVOKED;
            return isRevoked ? refused : accepted(ref);
          }
          return new Promise((resolve) => {
            asked.set(ref, () => resolve(accepted(ref)));
          });
        },
        knowsDevice: () => true,
      },
      callerGate: { authenticateCaller: () => refused },
    },
  );
  t.after(() => relay.close());
  const dials = tokens.map(({ ref, text }) => {
    return connectDevice(`ws://127.0.0.1:${relay.port}`, text, {}).then(
      (device) => {
        t.after(() => device.close());
        return [ref, "open"] as const;
      },
      (error: Error) => [ref, error.message] as const,
    );
  });
  await until(() => asked.size === DEVICES, "a question for every device");
  isAnswered = true;
  for (const answer of asked.values()) answer();
  const outcomes = new Map(await Promise.all(dials));
  assert.deepEqual(
    [...asked.keys()].map((ref) => outcomes.get(ref)),
    [
      ...new Array<string>(DEVICES - REVOKED).fill("open"),
      ...new Array<string>(REVOKED).fill("refused with 401"),
    ],
  );
  const live = [...asked.keys()].slice(0, DEVICES - REVOKED);
  assert.deepEqual(relay.liveTokens().sort(), live.sort());
});
