import { ConfigError } from "./errors.ts";

/** Where somebody listens, and by which settings problems of it are told. */
export interface ListenAddress {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly hostSetting: string;
  readonly portSetting: string;
}

/** Why an address cannot be listened on, in the operator's words. */
export function listenProblem(options: ListenAddress, code: string): ConfigError {
  const { host, port, hostSetting, portSetting } = options;
  switch (code) {
    case "EADDRINUSE":
      return new ConfigError([
        { setting: portSetting, problem: `port ${port} of ${host} is taken by another process` },
      ]);
    case "EACCES":
      return new ConfigError([
        { setting: portSetting, problem: `listening on port ${port} needs a privilege` },
      ]);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new ConfigError([
        { setting: hostSetting, problem: `${host} is no address of this machine` },
      ]);
    default:
      return new ConfigError([
        { setting: portSetting, problem: `cannot listen on ${host}, port ${port}: ${code}` },
      ]);
  }
}
