import type { DatabaseKind } from "./store.ts";

/** Version 2 to 3: sign-ins of the command line. */
export function cliLogins(kind: DatabaseKind): readonly string[] {
  const text = kind === "postgres" ? 'text collate "C"' : "text";
  return [
    `create table cli_logins (
      consent_digest ${text} primary key,
      code_digest ${text} unique,
      session_key ${text} not null,
      tenant ${text} not null references tenants (id),
      user_id ${text} not null references users (id) on delete cascade,
      redirect_uri ${text} not null,
      code_challenge ${text} not null,
      oauth_state ${text} not null,
      name ${text} not null,
      scopes ${text} not null,
      key_lifetime_ms bigint not null,
      created_at bigint not null,
      expires_at bigint not null
    )`,
    "create index cli_logins_user on cli_logins (user_id, created_at)",
    "create index cli_logins_expiry on cli_logins (expires_at)",
  ];
}
