/** A test TA that is called: the receiving side of TA cooperation. */
export { type AuthFields, authFields } from "./auth-fields.ts";
export { CODE_TOKENS_MAX, type ReceiverIdp } from "./code-tokens.ts";
export type { NewToken } from "./redeem.ts";
export {
  COOPERATION_ERROR_FIELD,
  type ContentHandler,
  type ReceivedRequest,
  TestReceiver,
  type TestReceiverOptions,
} from "./test-receiver.ts";
