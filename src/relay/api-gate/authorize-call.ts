import type { AuthorizeAnswer, AuthorizeRequest } from "../../core/contract.ts";
import { ApiClient, type ApiClientOptions } from "./api-client.ts";

const PATH = "/internal/authorize";
/** 500 keys that are held to 1,000 devices each have 10 MB. */
const ANSWER_BYTES_MAX = 16 << 20;

/** The call that asks who may connect and who may call. */
export class AuthorizeCall {
  readonly #client: ApiClient;

  constructor(options: ApiClientOptions) {
    this.#client = new ApiClient(options, PATH, ANSWER_BYTES_MAX);
  }

  /** Asks. @throws GateError */
  send(request: AuthorizeRequest): Promise<AuthorizeAnswer> {
    return this.#client.post(request, async () => {
      const { parseAuthorizeAnswer } = await import("../../core/authorize.ts");
      return (text) => parseAuthorizeAnswer(text, request);
    });
  }

  /** Cuts what runs. */
  close(): Promise<void> {
    return this.#client.close();
  }
}
