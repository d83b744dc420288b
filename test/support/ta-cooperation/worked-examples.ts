import type { JWK } from "jose";

/** Keys, JWTs and their claims of the worked examples of TA cooperation, section 13. */
export type Party = "from" | "to" | "idp-a" | "idp-b";

export interface ExampleJwt {
  readonly claims: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export interface SignedExample extends ExampleJwt {
  readonly signedBy: Party;
}

/** Public keys, all of ES256. */
export const KEYS: Readonly<Record<Party, JWK>> = {
  from: {
    kty: "EC",
    crv: "P-256",
    x: "OefIyCsd46F-F9_jGywBpA7Zlo0OBA2yZkEAISr650g",
    y: "jonFcq6pnmwvnRviBvwUU3WLa4nN_usb10re20Ot-MY",
    kid: "from-1",
    use: "sig",
    alg: "ES256",
  },
  to: {
    kty: "EC",
    crv: "P-256",
    x: "XGC2IGdtc1wDWgiqoQOV_Mn7pbLbGlCxtyzG9zv6aR0",
    y: "3-q64_-Xa288jO7YKYK-BaaBsiZQQb7iPL5bcZWz90Q",
    kid: "to-1",
    use: "sig",
    alg: "ES256",
  },
  "idp-a": {
    kty: "EC",
    crv: "P-256",
    x: "Jt7r_gU_ywSQKQ7mH7pMVLYkQ9DR20A1Xt77ZzRJMLU",
    y: "fz1XQ7RMd4HDA-1s99g6V5ogieXbHoQkCfC-sO3VbIk",
    kid: "idp-a-1",
    use: "sig",
    alg: "ES256",
  },
  "idp-b": {
    kty: "EC",
    crv: "P-256",
    x: "gOPe318cd8axocAZCQcgVHuRA1Pq3j3cPzNUxDqAjOg",
    y: "O12zcSu2WucrOYz1Ca9YdqSlysXslVFt-XFRkGbJH3I",
    kid: "idp-b-1",
    use: "sig",
    alg: "ES256",
  },
};

export const SIGNED = {
  assertionFrom1: {
    signedBy: "from",
    claims: {
      iss: "https://from.example",
      sub: "https://from.example",
      aud: "https://idp-a.example/api/coop/from",
      jti: "Zb3nT0xWq8LrYc5uVd1e",
      exp: 1767225900,
      iat: 1767225600,
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImZyb20tMSJ9.eyJpc3MiOiJodHRwczovL2Zyb20uZXhhbXBsZSIsInN1YiI6Imh0dHBzOi8vZnJvbS5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9pZHAtYS5leGFtcGxlL2FwaS9jb29wL2Zyb20iLCJqdGkiOiJaYjNuVDB4V3E4THJZYzV1VmQxZSIsImV4cCI6MTc2NzIyNTkwMCwiaWF0IjoxNzY3MjI1NjAwfQ.db-tNyQGtUbcAo0BKtJg4DwrEoLr1whYHO3YlatywbWnh5PKfpjexZ7R1MiCYfwqB36i4vjIURzX90R0ZssHqg",
  },
  codeToken1: {
    signedBy: "idp-a",
    claims: {
      iss: "https://idp-a.example",
      sub: "c1Qn8VxT2sLw5RzK7yHb3MfJ9pDgAe",
      aud: "https://to.example",
      from_client: "https://from.example",
      user_tag: "reader",
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImlkcC1hLTEifQ.eyJpc3MiOiJodHRwczovL2lkcC1hLmV4YW1wbGUiLCJzdWIiOiJjMVFuOFZ4VDJzTHc1UnpLN3lIYjNNZko5cERnQWUiLCJhdWQiOiJodHRwczovL3RvLmV4YW1wbGUiLCJmcm9tX2NsaWVudCI6Imh0dHBzOi8vZnJvbS5leGFtcGxlIiwidXNlcl90YWciOiJyZWFkZXIifQ.2kbsRADDn8lokLAxgiMdLE7Ywgq_Uns93LjT9Jmd8eJdjQaiy8QNBe3p7QqV8mMYAQSGOPAb97cCGaTqhe48YQ",
  },
  assertionTo1: {
    signedBy: "to",
    claims: {
      iss: "https://to.example",
      sub: "https://to.example",
      aud: "https://idp-a.example/api/coop/to",
      jti: "Hq2wS9kEo4RtXn7mBv6z",
      exp: 1767225901,
      iat: 1767225601,
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6InRvLTEifQ.eyJpc3MiOiJodHRwczovL3RvLmV4YW1wbGUiLCJzdWIiOiJodHRwczovL3RvLmV4YW1wbGUiLCJhdWQiOiJodHRwczovL2lkcC1hLmV4YW1wbGUvYXBpL2Nvb3AvdG8iLCJqdGkiOiJIcTJ3UzlrRW80UnRYbjdtQnY2eiIsImV4cCI6MTc2NzIyNTkwMSwiaWF0IjoxNzY3MjI1NjAxfQ.R50K61OmcIvkP8Pn7GfVwleQvz8vtGo1AYloqs2a9J6ESdTzH6fX0PCLoRyMV0YqGYg23fL1n8A87PrN5UxFEA",
  },
  idsToken1: {
    signedBy: "idp-a",
    claims: {
      iss: "https://idp-a.example",
      sub: "https://from.example",
      aud: "https://to.example",
      exp: 1767226201,
      iat: 1767225601,
      ids: { reader: { sub: "u-1001" } },
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImlkcC1hLTEifQ.eyJpc3MiOiJodHRwczovL2lkcC1hLmV4YW1wbGUiLCJzdWIiOiJodHRwczovL2Zyb20uZXhhbXBsZSIsImF1ZCI6Imh0dHBzOi8vdG8uZXhhbXBsZSIsImV4cCI6MTc2NzIyNjIwMSwiaWF0IjoxNzY3MjI1NjAxLCJpZHMiOnsicmVhZGVyIjp7InN1YiI6InUtMTAwMSJ9fX0.22puk5AaL9Dj4AR1BxohHkfDBn6v707xIGP6hsaeux8Bt0QaUSDTv-_VW7uk9KU6jeioQseeLe-CA38DbDonhQ",
  },
  assertionFrom2: {
    signedBy: "from",
    claims: {
      iss: "https://from.example",
      sub: "https://from.example",
      aud: "https://idp-a.example/api/coop/from",
      jti: "mT5yP0aGd8XcKj3LrW9f",
      exp: 1767225960,
      iat: 1767225660,
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImZyb20tMSJ9.eyJpc3MiOiJodHRwczovL2Zyb20uZXhhbXBsZSIsInN1YiI6Imh0dHBzOi8vZnJvbS5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9pZHAtYS5leGFtcGxlL2FwaS9jb29wL2Zyb20iLCJqdGkiOiJtVDV5UDBhR2Q4WGNLajNMclc5ZiIsImV4cCI6MTc2NzIyNTk2MCwiaWF0IjoxNzY3MjI1NjYwfQ.cGPvE5Aav_VASVfeTbF08gfKqbvad26c1686c4jHdllH03eCtkgpD39vgUYBYWWFxZC7FWX5q7oGqzRhUTABwA",
  },
  codeTokenA2: {
    signedBy: "idp-a",
    claims: {
      iss: "https://idp-a.example",
      sub: "d9Xw3KpZ6tRm0VsQ8nLc5YhGf2JbTu",
      aud: "https://to.example",
      from_client: "https://from.example",
      user_tag: "inviter",
      ref_hash: "98dP4MfN3Hxdr0TWELBMBQ",
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImlkcC1hLTEifQ.eyJpc3MiOiJodHRwczovL2lkcC1hLmV4YW1wbGUiLCJzdWIiOiJkOVh3M0twWjZ0Um0wVnNROG5MYzVZaEdmMkpiVHUiLCJhdWQiOiJodHRwczovL3RvLmV4YW1wbGUiLCJmcm9tX2NsaWVudCI6Imh0dHBzOi8vZnJvbS5leGFtcGxlIiwidXNlcl90YWciOiJpbnZpdGVyIiwicmVmX2hhc2giOiI5OGRQNE1mTjNIeGRyMFRXRUxCTUJRIn0.yFH3zJId468RpxGyIf9pyAqnOSWRWGeQmJEOSHYP5K3yPi6zklZmofph2xnBkzyj0bKm99FKYRILEs7dIkLQaQ",
  },
  referral2: {
    signedBy: "idp-a",
    claims: {
      iss: "https://idp-a.example",
      sub: "https://from.example",
      aud: ["https://idp-b.example"],
      exp: 1767226260,
      jti: "r7UoE2hNs6VbQx1iZk4t",
      to_client: "https://to.example",
      related_users: { observer: "ovp3banffboIq7zeLboYLw" },
      hash_alg: "SHA256",
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImlkcC1hLTEifQ.eyJpc3MiOiJodHRwczovL2lkcC1hLmV4YW1wbGUiLCJzdWIiOiJodHRwczovL2Zyb20uZXhhbXBsZSIsImF1ZCI6WyJodHRwczovL2lkcC1iLmV4YW1wbGUiXSwiZXhwIjoxNzY3MjI2MjYwLCJqdGkiOiJyN1VvRTJoTnM2VmJReDFpWms0dCIsInRvX2NsaWVudCI6Imh0dHBzOi8vdG8uZXhhbXBsZSIsInJlbGF0ZWRfdXNlcnMiOnsib2JzZXJ2ZXIiOiJvdnAzYmFuZmZib0lxN3plTGJvWUx3In0sImhhc2hfYWxnIjoiU0hBMjU2In0.BTTLDMbCd3-xE1pHCPBUS9Ix1u6dgsK1-wv5cR8MzJkb4trB3JLNw5UVEO0Uz6rxLzxfLMbn5jKt8GLAdicR1A",
  },
  assertionFromB2: {
    signedBy: "from",
    claims: {
      iss: "https://from.example",
      sub: "https://from.example",
      aud: "https://idp-b.example/api/coop/from",
      jti: "pN4vC8lQe1YzSg6KwM2h",
      exp: 1767225961,
      iat: 1767225661,
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImZyb20tMSJ9.eyJpc3MiOiJodHRwczovL2Zyb20uZXhhbXBsZSIsInN1YiI6Imh0dHBzOi8vZnJvbS5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9pZHAtYi5leGFtcGxlL2FwaS9jb29wL2Zyb20iLCJqdGkiOiJwTjR2QzhsUWUxWXpTZzZLd00yaCIsImV4cCI6MTc2NzIyNTk2MSwiaWF0IjoxNzY3MjI1NjYxfQ.-gtPbzjjjSg4cK5KTJ5eVO6mgLFfli-gZIgKzBKAHNqwrTM5_2rI4UhPK_9vquUFpwb8HFCX6Ltz2Bx1GL_Iiw",
  },
  codeTokenB2: {
    signedBy: "idp-b",
    claims: {
      iss: "https://idp-b.example",
      sub: "e5Hs7RqJ1xWd4MvN8zTk0LbYc6GpFo",
      aud: "https://to.example",
      from_client: "https://from.example",
      user_tags: ["observer"],
      ref_hash: "98dP4MfN3Hxdr0TWELBMBQ",
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImlkcC1iLTEifQ.eyJpc3MiOiJodHRwczovL2lkcC1iLmV4YW1wbGUiLCJzdWIiOiJlNUhzN1JxSjF4V2Q0TXZOOHpUazBMYlljNkdwRm8iLCJhdWQiOiJodHRwczovL3RvLmV4YW1wbGUiLCJmcm9tX2NsaWVudCI6Imh0dHBzOi8vZnJvbS5leGFtcGxlIiwidXNlcl90YWdzIjpbIm9ic2VydmVyIl0sInJlZl9oYXNoIjoiOThkUDRNZk4zSHhkcjBUV0VMQk1CUSJ9.O3Kejev7C-5noh_UUEkH4N6T2VQHiLIyQeOAr0_ejE7pe5DgVkypbA734-T5vALTOYzfeh-OCKvPNHWL093g4g",
  },
  idsTokenA2: {
    signedBy: "idp-a",
    claims: {
      iss: "https://idp-a.example",
      sub: "https://from.example",
      aud: "https://to.example",
      exp: 1767226262,
      iat: 1767225662,
      ids: { inviter: { sub: "u-1001" } },
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImlkcC1hLTEifQ.eyJpc3MiOiJodHRwczovL2lkcC1hLmV4YW1wbGUiLCJzdWIiOiJodHRwczovL2Zyb20uZXhhbXBsZSIsImF1ZCI6Imh0dHBzOi8vdG8uZXhhbXBsZSIsImV4cCI6MTc2NzIyNjI2MiwiaWF0IjoxNzY3MjI1NjYyLCJpZHMiOnsiaW52aXRlciI6eyJzdWIiOiJ1LTEwMDEifX19.dIaqMUHDAUpppJC99iCRNk1ZG2yFEy85lLL6gxS3DwqNp5jRUAMIA5QI2Rk21kbO6YvJrMi6qA-UMiV0dti-MA",
  },
  idsTokenB2: {
    signedBy: "idp-b",
    claims: {
      iss: "https://idp-b.example",
      sub: "https://from.example",
      aud: "https://to.example",
      exp: 1767226262,
      iat: 1767225662,
      ids: { observer: { sub: "u-2002" } },
    },
    text: "eyJhbGciOiJFUzI1NiIsImtpZCI6ImlkcC1iLTEifQ.eyJpc3MiOiJodHRwczovL2lkcC1iLmV4YW1wbGUiLCJzdWIiOiJodHRwczovL2Zyb20uZXhhbXBsZSIsImF1ZCI6Imh0dHBzOi8vdG8uZXhhbXBsZSIsImV4cCI6MTc2NzIyNjI2MiwiaWF0IjoxNzY3MjI1NjYyLCJpZHMiOnsib2JzZXJ2ZXIiOnsic3ViIjoidS0yMDAyIn19fQ.UVwVrixscL_l5X6HRL0gLuJlk7x8Y_rH67dIncRnLtA_o2fceY8bVSzuZiRyVqn8OlHJTqN1KrxlygyMhfr6Uw",
  },
} as const satisfies Readonly<Record<string, SignedExample>>;

export const UNSIGNED = {
  seedUsers: {
    claims: {
      reader: { at_tag: "2Eywh1Z4tZ" },
      writer: { iss: "https://idp.example.org", sub: "07BFF1D3706D169D" },
    },
    text: "eyJhbGciOiJub25lIn0.eyJyZWFkZXIiOnsiYXRfdGFnIjoiMkV5d2gxWjR0WiJ9LCJ3cml0ZXIiOnsiaXNzIjoiaHR0cHM6Ly9pZHAuZXhhbXBsZS5vcmciLCJzdWIiOiIwN0JGRjFEMzcwNkQxNjlEIn19.",
  },
  users1: {
    claims: { reader: { at_tag: "kQ7mZp3xLa" } },
    text: "eyJhbGciOiJub25lIn0.eyJyZWFkZXIiOnsiYXRfdGFnIjoia1E3bVpwM3hMYSJ9fQ.",
  },
  authUser1: {
    claims: {
      sub: "u-1001",
      iss: "https://idp-a.example",
      at_tag: "W4bnY8sKqd",
      at_exp: 1767229200,
    },
    text: "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1LTEwMDEiLCJpc3MiOiJodHRwczovL2lkcC1hLmV4YW1wbGUiLCJhdF90YWciOiJXNGJuWThzS3FkIiwiYXRfZXhwIjoxNzY3MjI5MjAwfQ.",
  },
  users2: {
    claims: {
      inviter: { at_tag: "kQ7mZp3xLa" },
      observer: { iss: "https://idp-b.example", sub: "u-2002" },
    },
    text: "eyJhbGciOiJub25lIn0.eyJpbnZpdGVyIjp7ImF0X3RhZyI6ImtRN21acDN4TGEifSwib2JzZXJ2ZXIiOnsiaXNzIjoiaHR0cHM6Ly9pZHAtYi5leGFtcGxlIiwic3ViIjoidS0yMDAyIn19.",
  },
  authUser2: {
    claims: {
      sub: "u-1001",
      iss: "https://idp-a.example",
      at_tag: "Jx6eM2vRfc",
      at_exp: 1767229200,
    },
    text: "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1LTEwMDEiLCJpc3MiOiJodHRwczovL2lkcC1hLmV4YW1wbGUiLCJhdF90YWciOiJKeDZlTTJ2UmZjIiwiYXRfZXhwIjoxNzY3MjI5MjAwfQ.",
  },
  authUsers2: {
    claims: { observer: { sub: "u-2002", iss: "https://idp-b.example" } },
    text: "eyJhbGciOiJub25lIn0.eyJvYnNlcnZlciI6eyJzdWIiOiJ1LTIwMDIiLCJpc3MiOiJodHRwczovL2lkcC1iLmV4YW1wbGUifX0.",
  },
} as const satisfies Readonly<Record<string, ExampleJwt>>;
