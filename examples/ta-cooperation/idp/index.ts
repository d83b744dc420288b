/** A test ID provider with the two endpoints of TA cooperation. */
export { JTI_CHARACTERS_MAX } from "./client-authenticator.ts";
export { type Account, type Consent, Directory, type KnownIdp, type Ta } from "./directory.ts";
export { CODE_VALID_MS } from "./grants.ts";
export { ReplayCache } from "./replay-cache.ts";
export { type Exchange, TestIdp, type TestIdpOptions, type TokenOrder } from "./test-idp.ts";
