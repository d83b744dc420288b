/** One cell of the matrix: by which way something is asked, over how many connections, of how many devices. */
export interface Scenario {
  /** At the relay's edge, or through the API server, which asks the relay. */
  readonly way: Way;
  readonly request: RequestKind;
  readonly connections: number;
  readonly devices: number;
}

export type Way = "edge" | "api";
export const WAYS: readonly Way[] = ["edge", "api"];

/** What is asked of a device. */
export type RequestKind = "get_small" | "get_64k" | "post_1k" | "post_64k";

export const REQUEST_KINDS: readonly RequestKind[] = [
  "get_small",
  "get_64k",
  "post_1k",
  "post_64k",
];
const CONNECTIONS = [1, 32];
const DEVICES = [1, 20];
/** The most devices that a scenario asks. */
export const DEVICES_MAX = Math.max(...DEVICES);

/** What is asked through the API server, of one device: load belongs at the edge. */
const API_REQUESTS: readonly RequestKind[] = ["get_small", "post_1k"];

/** Every combination at the edge, by request first, then those through the API server. */
export const SCENARIOS: readonly Scenario[] = [
  ...REQUEST_KINDS.flatMap((request) =>
    DEVICES.flatMap((devices) => overConnections({ way: "edge", request, devices })),
  ),
  ...API_REQUESTS.flatMap((request) => overConnections({ way: "api", request, devices: 1 })),
];

function overConnections(scenario: Omit<Scenario, "connections">): Scenario[] {
  return CONNECTIONS.map((connections) => ({ ...scenario, connections }));
}

/** `get_small_1dev_c32`, `api_get_small_1dev_c32` */
export function scenarioName({ way, request, connections, devices }: Scenario): string {
  return `${way === "api" ? "api_" : ""}${request}_${devices}dev_c${connections}`;
}

/** What stands before a device's own path. */
export function prefixOf(way: Way, deviceId: string): string {
  return way === "api" ? `/api/devices/${deviceId}/http` : `/d/${deviceId}`;
}

/** One request to a device and the only right answer to it. */
export interface Exchange {
  readonly method: "GET" | "POST";
  /** Behind {@link prefixOf}. */
  readonly path: string;
  readonly body: string | null;
  readonly expected: string;
}

const SMALL = "Hello, world!";
const KIB = 1_024;

/**
 * What is asked of a device and what it answers. Each answer names the device, so that one that comes from another device is a
 * wrong one.
 */
export function exchangeOf(request: RequestKind, deviceId: string): Exchange {
  switch (request) {
    case "get_small":
      return get(`/small`, answerOf(deviceId, SMALL));
    case "get_64k":
      return get(`/large`, answerOf(deviceId, textOf(64 * KIB)));
    case "post_1k":
      return post(deviceId, textOf(KIB));
    case "post_64k":
      return post(deviceId, textOf(64 * KIB));
  }
}

/** The answer of a device: its name and the text. */
export function answerOf(deviceId: string, text: string): string {
  return `${deviceId}\n${text}`;
}

/** What a device answers to GET, by path. */
export function pagesOf(deviceId: string): ReadonlyMap<string, string> {
  const exchanges = REQUEST_KINDS.map((request) => exchangeOf(request, deviceId));
  const gets = exchanges.filter(({ method }) => method === "GET");
  return new Map(gets.map(({ path, expected }) => [path, expected]));
}

function get(path: string, expected: string): Exchange {
  return { method: "GET", path, body: null, expected };
}

function post(deviceId: string, body: string): Exchange {
  return { method: "POST", path: "/echo", body, expected: answerOf(deviceId, body) };
}

/** ASCII text in which no two lines are the same, so that a lost or doubled piece shows. */
function textOf(length: number): string {
  const lines = Array.from({ length: Math.ceil(length / 16) }, (_, at) => {
    return `line ${String(at).padStart(10, "0")}\n`;
  });
  return lines.join("").slice(0, length);
}
