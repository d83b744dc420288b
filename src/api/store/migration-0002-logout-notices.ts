import type { DatabaseKind } from "./store.ts";

/**
 * Version 1 to 2: notices of logout are kept for sign-ins by subject too, a session knows when its ID token was issued,
 * and a sign-out goes on at the provider with a ticket.
 */
export function logoutNotices(kind: DatabaseKind): readonly string[] {
  const text = kind === "postgres" ? 'text collate "C"' : "text";
  return [
    "alter table login_sessions add column issued_at bigint not null default 0",
    "update login_sessions set issued_at = created_at",
    "drop table logout_tombstones",
    `create table logout_notices (
      iss ${text} not null,
      sid ${text} not null,
      sub ${text} not null,
      issued_at bigint not null,
      expires_at bigint not null,
      primary key (iss, sid, sub)
    )`,
    `create table logout_tickets (
      digest ${text} primary key,
      sealed ${text} not null,
      expires_at bigint not null
    )`,
  ];
}
