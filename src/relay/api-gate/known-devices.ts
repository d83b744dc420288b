import type { DeviceIdentity } from "../ports.ts";
import { BoundedMap } from "./bounded-map.ts";

/** A device token that the API server called good. */
export interface KnownToken {
  readonly digest: string;
  readonly identity: DeviceIdentity;
  readonly tenantId: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** When the API server last said so, in ms of the gate's clock. */
  checkedAt: number;
}

/** Whose a device is. */
export interface KnownDevice {
  readonly tenantId: string;
  /** When the API server last said so, in ms of the gate's clock. */
  readonly checkedAt: number;
}

/** Good device tokens by their reference, and owners of devices by their id, in step. */
export class KnownDevices {
  readonly #tokens: BoundedMap<string, KnownToken>;
  readonly #devices: BoundedMap<string, KnownDevice>;

  constructor(tokensMax: number, devicesMax: number) {
    this.#tokens = new BoundedMap(tokensMax);
    this.#devices = new BoundedMap(devicesMax);
  }

  get tokens(): number {
    return this.#tokens.size;
  }

  get devices(): number {
    return this.#devices.size;
  }

  token(ref: string): KnownToken | undefined {
    return this.#tokens.get(ref);
  }

  device(deviceId: string): KnownDevice | undefined {
    return this.#devices.get(deviceId);
  }

  /** The tenant of a device, null where that is not known. One Map look-up. */
  tenantOf(deviceId: string): string | null {
    return this.#devices.get(deviceId)?.tenantId ?? null;
  }

  putToken(token: KnownToken): void {
    const { identity, tenantId, checkedAt } = token;
    this.#tokens.set(identity.tokenRef, token);
    this.putDevice(identity.deviceId, { tenantId, checkedAt });
  }

  putDevice(deviceId: string, device: KnownDevice): void {
    this.#devices.set(deviceId, device);
  }

  /**
   * The token of a live tunnel is still good: it and its device count as set now, and are not forgotten first. Whose
   * the device is was not asked, so what is known of that stays as it is.
   */
  confirm(ref: string, now: number): void {
    const token = this.#tokens.get(ref);
    if (token === undefined) return;
    token.checkedAt = now;
    this.#tokens.set(ref, token);
    const { deviceId } = token.identity;
    const device = this.#devices.get(deviceId);
    if (device === undefined) return;
    this.#devices.set(deviceId, { tenantId: device.tenantId, checkedAt: now });
  }

  forgetToken(ref: string): void {
    this.#tokens.delete(ref);
  }

  forgetDevice(deviceId: string): void {
    this.#devices.delete(deviceId);
  }

  /** Forgets the tokens; whose devices were known stays known. */
  clearTokens(): void {
    this.#tokens.clear();
  }
}
