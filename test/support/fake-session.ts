import type { Clock } from "../../src/core/clock.ts";
import type { SessionSummary } from "../../src/core/contract.ts";
import { SessionHandle } from "../../src/relay/session-store.ts";

/** A tunnel without a socket: records what the store asks of it. */
export class FakeSession extends SessionHandle {
  readonly deviceId: string;
  readonly tokenRef: string;
  readonly userId: string;
  closed = 0;
  displaced = 0;
  /** How often somebody asked for the last heartbeat or the summary. */
  looks = 0;
  #lastHeartbeatAt: number;
  /** Runs inside `close` and `displace`; may throw or call the store. */
  onEnd: (how: "close" | "displace") => void = () => {};
  /** Handed out on every call, so that a missing copy shows. */
  readonly shared: SessionSummary;

  constructor(clock: Clock, deviceId: string, tokenRef = `vAc_${deviceId}`, userId = "user") {
    super();
    this.deviceId = deviceId;
    this.tokenRef = tokenRef;
    this.userId = userId;
    this.#lastHeartbeatAt = clock.now();
    this.shared = {
      token: tokenRef,
      user_id: userId,
      device_id: deviceId,
      connected_at: "2026-01-01T00:00:00.000Z",
      last_heartbeat: "2026-01-01T00:00:00.000Z",
      remote_addr: "127.0.0.1:5000",
    };
  }

  get lastHeartbeatAt(): number {
    this.looks += 1;
    return this.#lastHeartbeatAt;
  }

  close(): void {
    this.closed += 1;
    this.onEnd("close");
  }

  displace(): void {
    this.displaced += 1;
    this.onEnd("displace");
  }

  summary(): SessionSummary {
    this.looks += 1;
    return this.shared;
  }

  recordHeartbeat(time: number): void {
    this.#lastHeartbeatAt = Math.max(this.#lastHeartbeatAt, time);
  }
}
